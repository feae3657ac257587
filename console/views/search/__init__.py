"""Render Search: the matches among everything that has a page."""
