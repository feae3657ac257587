"""Answer questions about customers: their budgets."""
