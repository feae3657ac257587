"""One file for each revision; a landed file never changes."""
