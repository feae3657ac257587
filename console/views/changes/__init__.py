"""Render Changes: the contributions to a rise or a fall."""
