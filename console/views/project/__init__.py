"""Render Project: live usage, days, hours, bills of one project."""
