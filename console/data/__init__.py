"""Read for pages: sessions, caches and queries."""
