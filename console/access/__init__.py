"""Identify the user of a browser and decide which rows they may see."""
