"""Bring the outside world into the ledger."""
