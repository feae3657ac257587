"""Render what a search finds, over everything that has a page."""
