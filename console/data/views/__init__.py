"""Saved views and notes on days: read for everybody who may see them, written with an audit entry."""
