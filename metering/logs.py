"""Configure the log of every process: one line an event on standard error, safe for a terminal."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from metering.printable import one_line, printable


def configure(least: int = logging.INFO) -> None:
    """Log events of level `least` and above to standard error; standard output is for results."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=True),
            escape_event,
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(least),
    )


def escape_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape every text of an event; only tracebacks keep their lines."""
    for key, value in event.items():
        if key in ("exception", "stack"):
            event[key] = printable(str(value))
        elif not isinstance(value, int | float | bool | None):
            event[key] = one_line(str(value))
    return event
