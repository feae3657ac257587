"""Count the platform's tables, and sample its devices and stored logs."""
