"""`fleetmeter doctor`: check the complaints that operators have, and say what to do about each.

The four complaints: counters do not increment, the hourly refresh does not update, daily snapshots are
missing, the monthly close failed. Before them, what everything rests on: database, schema, clocks.
"""
