"""Render Limits: projects near or beyond an allowance."""
