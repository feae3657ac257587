"""Meter usage, seal days, close months: the domain, which knows PostgreSQL and nothing else."""
