"""Limit the requests of each token: a bucket that fills evenly and holds one minute's requests.

Each process counts for itself. Only tokens that proved valid have a bucket, so that nobody empties another's.
"""

import threading
import time
from dataclasses import dataclass, field

MOST_TOKENS = 10_000  # buckets kept; beyond that the fullest, which hold nobody back, are dropped


@dataclass
class _Bucket:
    remaining: float
    at: float = field(default_factory=time.monotonic)


class RateLimiter:
    """Requests that each token has left in this process."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: dict[int, _Bucket] = {}
        self._guard = threading.Lock()

    def take(self, token_id: int) -> float:
        """Take one request of a valid token; return 0, or the seconds until it may ask again."""
        with self._guard:
            bucket = self._filled(token_id)
            if bucket.remaining >= 1:
                bucket.remaining -= 1
                return 0.0
            return (1 - bucket.remaining) * 60 / self.per_minute

    def _filled(self, token_id: int) -> _Bucket:
        now = time.monotonic()
        bucket = self._buckets.get(token_id)
        if bucket is None:
            self._make_room()
            bucket = self._buckets[token_id] = _Bucket(float(self.per_minute))
        earned = (now - bucket.at) * self.per_minute / 60
        bucket.remaining, bucket.at = min(float(self.per_minute), bucket.remaining + earned), now
        return bucket

    def _make_room(self) -> None:
        if len(self._buckets) < MOST_TOKENS:
            return
        fullest = sorted(self._buckets, key=lambda token: self._buckets[token].remaining, reverse=True)
        for token in fullest[: MOST_TOKENS // 10]:
            del self._buckets[token]
