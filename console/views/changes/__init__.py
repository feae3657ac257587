"""Render Changes: what a rise or a fall consists of."""
