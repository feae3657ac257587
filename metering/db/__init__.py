"""Connect to PostgreSQL, declare the tables, and write the canonical form of their rows."""
