"""The process that a command runs in: its signals and its log."""

import logging
import signal
import threading


def stop_on_signals() -> threading.Event:
    """Return an event that SIGTERM and Ctrl-C set."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def log_to_stderr(least: int = logging.INFO) -> None:
    """Log to standard error: standard output is for results, which programs read."""
    from metering import logs  # noqa: PLC0415 - a slow import that commands which only read do without

    logs.configure(least)
