"""Decide when jobs run: registry, due, queue, runner, listener, tasks."""
