"""Decide when jobs run, queue them, and execute them."""
