"""Render Overview: problems, running totals, and the cost of the month."""
