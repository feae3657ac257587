"""Render Alerts: what is wrong, since when, who looks after it."""
