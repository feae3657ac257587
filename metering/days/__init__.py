"""Seal days, and say how completely and how well they were measured."""
