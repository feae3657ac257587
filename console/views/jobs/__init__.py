"""Render Jobs: what ran, runs and comes next."""
