"""Split the change of one measure between two periods into contributions and incomparable meters."""
