"""Remove old rows after they are archived, and bring them back."""
