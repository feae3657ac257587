"""Render Billing: what a month costs, its close and its corrections."""
