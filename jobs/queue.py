"""The queue as other packages see it: ask for runs, ask again, cancel, discard.

The console asks through this module and imports nothing else of `jobs`: a page never runs a job.
"""

from metering.runs.definitions import BY_NAME, DEFINITIONS, find, request, role
from metering.runs.lease import ATTEMPTS
from metering.runs.listing import find_run, get, history
from metering.runs.pauses import LONGEST as LONGEST_PAUSE
from metering.runs.pauses import current as paused
from metering.runs.pauses import pause, resume
from metering.runs.requests import cancel, discard, enqueue, recent, retry

__all__ = [
    "ATTEMPTS",
    "BY_NAME",
    "DEFINITIONS",
    "LONGEST_PAUSE",
    "cancel",
    "discard",
    "enqueue",
    "find",
    "find_run",
    "get",
    "history",
    "pause",
    "paused",
    "recent",
    "request",
    "resume",
    "retry",
    "role",
]
