"""Render the parts that several pages share."""
