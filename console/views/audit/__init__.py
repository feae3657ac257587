"""Render Audit: the actions of people, with the values before and after."""
