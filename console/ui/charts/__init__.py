"""Interactive charts: Plotly, one template for light and dark, each with a table and an alternative text."""
