"""A PostgreSQL and a broker for one machine, for those who bring none of their own."""
