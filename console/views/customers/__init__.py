"""The page Customers: organizations, their charges, and one organization in detail."""
