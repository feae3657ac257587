"""Render Limits: who is near or beyond an allowance."""
