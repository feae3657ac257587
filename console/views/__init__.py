"""Render the pages, one folder each: page.py and the parts that only it uses."""
