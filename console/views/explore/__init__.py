"""The page Explore: any measure, grouped, over any range, compared; its address holds the whole question."""
