"""Render one job run: how far it is, what it did, what is left."""
