"""Simulate a platform and its fleet."""
