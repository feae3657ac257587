"""Approval by a second person: ask, decide, carry out."""
