"""Clients of AWS: throttled by themselves before AWS does it, and patient when it does.

Credentials come through boto3's normal chain. Every call is retried with backoff and jitter, and
slowed down by botocore's own rate limit once AWS throttles: a throttled hour ends late, not wrong.
"""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from collectors.aws import response_checks
from collectors.aws.errors import THROTTLES
from metering.config.settings import Settings

CONCURRENCY = 8  # projects read at once, and as many parts of large ones; the connection pool holds both
RETRIES = Config(
    retries={"mode": "adaptive", "total_max_attempts": 5},
    max_pool_connections=2 * CONCURRENCY,
    connect_timeout=5,
    read_timeout=30,
)
# Requests a second of one client. Far below what AWS grants an account, which others need as well.
RATES = {"s3": 200.0, "ecr": 10.0, "cloudwatch": 5.0}


@contextmanager
def threads() -> Iterator[Executor]:
    """Threads to read with; when the reading is broken off, what has not begun is not read any more."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class RequestCount:
    """Requests sent and answers that were throttles, by every thread of one reading."""

    def __init__(self) -> None:
        self.requests = self.throttles = 0
        self._lock = threading.Lock()

    def watch(self, open_client: Any) -> None:
        """Count what `client` sends from now on, its retries too."""
        open_client.meta.events.register("before-send", self._sent)
        # First, because whoever decides on the retry ends the round of handlers.
        open_client.meta.events.register_first("needs-retry", self._answered)

    def _sent(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1

    def _answered(self, response: Any = None, **_: Any) -> None:
        error = response[1].get("Error", {}) if response else {}
        if error.get("Code") in THROTTLES:
            with self._lock:
                self.throttles += 1


class Pace:
    """Lets at most `rate` requests a second through, evenly, whichever thread sends them."""

    def __init__(self, rate: float) -> None:
        self._apart = 1 / rate
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, **_: Any) -> None:
        """Sleep until it is this request's turn."""
        with self._lock:
            turn = max(self._free_at, time.monotonic())
            self._free_at = turn + self._apart
        time.sleep(max(0.0, turn - time.monotonic()))


def open_client(
    settings: Settings, service: str, region: str | None = None, tally: RequestCount | None = None
) -> Any:
    """Open a client that backs off with jitter when it is throttled; threads may share it."""
    region = region or (settings.aws_region[0] if settings.aws_region else None)
    made = boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=settings.aws_endpoint_url,
        config=RETRIES,
    )
    response_checks.watch(made)
    if service in RATES:
        made.meta.events.register("before-send", Pace(RATES[service]).wait)
    if tally:
        tally.watch(made)
    return made
