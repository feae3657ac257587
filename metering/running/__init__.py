"""Answer questions about the running month: limits, allowances, spend."""
