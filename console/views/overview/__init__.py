"""Render Overview: is everything all right, what is running, what will the month cost."""
