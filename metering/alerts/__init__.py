"""Find what is wrong or unusual, and record it as alerts."""
