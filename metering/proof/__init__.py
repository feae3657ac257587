"""Verify that totals equal their parts and that every seal holds."""
