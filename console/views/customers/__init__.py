"""The page Customers: organizations, what they pay, and one organization in detail."""
