"""Try out what a broker guarantees, for the doctor."""
