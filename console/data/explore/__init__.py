"""Answer the questions of Explore: PostgreSQL aggregates, pandas shapes."""
