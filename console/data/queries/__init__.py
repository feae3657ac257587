"""Query PostgreSQL for the pages."""
