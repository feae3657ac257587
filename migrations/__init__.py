"""Bring the schema of the database to this version."""
