"""Take usage that the platform reports itself: events, each counted once."""
