"""Charts that are explored: Plotly, one template for light and dark, a table and an alternative text each."""
