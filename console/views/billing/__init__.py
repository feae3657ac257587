"""Render Billing: the charges of a month, its close and its corrections."""
