"""Open clients of AWS that limit their own rate, and that retry when AWS throttles them.

Credentials come through boto3's normal chain. Every call is retried with backoff and jitter, and slowed
down by botocore's own rate limit once AWS throttles: so a throttled hour is late and not wrong.
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
# Requests a second of one client: far below the quota of an account, which others use as well.
RATES = {"s3": 200.0, "ecr": 10.0, "cloudwatch": 5.0}


@contextmanager
def threads() -> Iterator[Executor]:
    """Yield threads to read with; the end of the block cancels reads that have not begun."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        try:
            yield pool
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class RequestCount:
    """Count of requests sent and of answers that were throttles, over all threads of one reading."""

    def __init__(self) -> None:
        self.requests = self.throttles = 0
        self._lock = threading.Lock()

    def watch(self, client: Any) -> None:
        """Count the requests that `client` sends from now on, retries included."""
        client.meta.events.register("before-send", self._count_request)
        # First, because the handler that decides on a retry is the last one to be called.
        client.meta.events.register_first("needs-retry", self._answered)

    def _count_request(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1

    def _answered(self, response: Any = None, **_: Any) -> None:
        error = response[1].get("Error", {}) if response else {}
        if error.get("Code") in THROTTLES:
            with self._lock:
                self.throttles += 1


class RateLimit:
    """Limit of `rate` requests a second, evenly spaced, over all threads."""

    def __init__(self, rate: float) -> None:
        self._interval = 1 / rate
        self._next_at = 0.0
        self._lock = threading.Lock()

    def wait(self, **_: Any) -> None:
        """Sleep until this request may be sent."""
        with self._lock:
            turn = max(self._next_at, time.monotonic())
            self._next_at = turn + self._interval
        time.sleep(max(0.0, turn - time.monotonic()))


def open_client(
    settings: Settings, service: str, region: str | None = None, requests: RequestCount | None = None
) -> Any:
    """Open a client that backs off with jitter when it is throttled; threads may share it."""
    region = region or (settings.aws_region[0] if settings.aws_region else None)
    client = boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=settings.aws_endpoint_url,
        config=RETRIES,
    )
    response_checks.watch(client)
    if service in RATES:
        client.meta.events.register("before-send", RateLimit(RATES[service]).wait)
    if requests:
        requests.watch(client)
    return client
