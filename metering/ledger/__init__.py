"""Count usage by project and hour: the writer of usage_hourly and of the running totals."""
