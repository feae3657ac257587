"""Serve the web pages: they read, and ask for runs."""
