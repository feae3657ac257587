"""Decide when jobs run: registry, due, queue, runner, listener, and the tasks."""
