"""Answer probes of a process: whether it is alive and ready, and its figures."""
