"""Render Snapshots: sealed and missing days, their coverage and repair."""
