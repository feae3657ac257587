"""Decide who a visitor is and which rows they may see."""
