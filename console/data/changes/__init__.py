"""Take a change of one measure between two periods apart: whose it is, and what cannot be compared."""
