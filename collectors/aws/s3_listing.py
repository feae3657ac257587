"""List a bucket: prefix by prefix for a few projects, and in one sweep over the keys for many.

A page of a sweep holds a thousand objects of any projects, whereas prefix by prefix each project costs
at least one call. A sweep never costs more: it skips objects that belong to no project. It is not used
where the policy allows to list prefixes only.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import PaginationError

from collectors.aws import s3_pages
from collectors.aws.client import RequestCount, open_client, threads
from collectors.aws.errors import FAILURES, is_denied
from collectors.aws.malformed import MALFORMED
from collectors.aws.s3_pages import Page
from collectors.circuit_breaker import CircuitBreaker
from collectors.gauge_collector import Project, Reader, Sample
from metering.config.aws import Place
from metering.config.settings import Settings

MAX_ONE_BY_ONE = 100  # projects that are listed prefix by prefix: a sweep would save cents
STRIP = 250  # projects of one strip of a sweep; several strips are swept at the same time
MAX_PARTS = 32  # sub-prefixes that are listed at the same time; more would cost more calls than it saves
LARGE = 5  # pages after which a project in a sweep is listed by itself
LAST = "\U0010fffd"  # sorts after any character of a key


class Unsorted(Exception):
    """The server ignores StartAfter, as some that imitate S3 do."""


@contextmanager
def open_reader(settings: Settings, bucket: Place, requests: RequestCount) -> Iterator[Reader]:
    """Open a reader of one bucket."""
    breaker = CircuitBreaker(bucket, "S3_BUCKET")
    try:
        client = open_client(settings, "s3", bucket.region, requests)
    except FAILURES as error:
        breaker.record_failure(error)
        client = None
    else:
        s3_pages.watch(client)
    with threads() as pool, threads() as parts:
        yield Listing(client, breaker, settings.s3_prefix, pool, parts).read


@dataclass
class Listing:
    """One bucket, listed with threads of `pool`, each of which may use those of `parts`."""

    client: Any
    breaker: CircuitBreaker
    template: str
    pool: Executor
    parts: Executor

    def read(self, projects: Sequence[Project]) -> Iterable[Sample]:
        """Return the bytes of each project; fastest when they are in the order of their prefixes."""
        self.breaker.start_pass()
        prefixes = [self.template.format(org_id=org, project_id=project) for project, org in projects]
        if len(projects) <= MAX_ONE_BY_ONE:
            return self.pool.map(self._one, prefixes)
        return self._sweep(prefixes)

    def _one(self, prefix: str) -> Sample:
        return self.breaker.call(lambda: {"s3_storage_bytes": self.stored(prefix)})

    def stored(self, prefix: str) -> int:
        """Return the bytes under `prefix`; the sub-prefixes of a large one are listed at the same time."""
        page = self._page(Prefix=prefix)
        if not page.token:
            return page.bytes
        top = self._page(Prefix=prefix, Delimiter="/")
        while len(top.prefixes) == 1 and not top.sizes and not top.token:
            top = self._page(Prefix=top.prefixes[0], Delimiter="/")
        if top.token or not 1 < len(top.prefixes) <= MAX_PARTS:
            return page.bytes + self._rest(prefix, page.token)
        return top.bytes + sum(self.parts.map(self._rest, top.prefixes))

    def _rest(self, prefix: str, token: str | None = None) -> int:
        total, page = 0, Page(token=token)
        while True:
            page = self._next(page, Prefix=prefix)
            total += page.bytes
            if not page.token:
                return total

    def _next(self, page: Page, **request: str) -> Page:
        continuation = {"ContinuationToken": page.token} if page.token else {}
        following = self._page(**request, **continuation)
        if following.token and following.token == page.token:
            raise PaginationError(message="the same page again")
        return following

    def _page(self, **request: str) -> Page:
        return s3_pages.get_page(self.client, Bucket=self.breaker.place.name, **request)

    def _sweep(self, prefixes: list[str]) -> Iterator[Sample]:
        ordered = sorted(prefixes)
        strips = [ordered[start : start + STRIP] for start in range(0, len(ordered), STRIP)]
        results = self.pool.map(self._strip, strips)
        samples: dict[str, Sample] = {}
        for prefix in prefixes:
            while prefix not in samples:
                samples |= next(results)
            yield samples[prefix]

    def _strip(self, prefixes: list[str]) -> dict[str, Sample]:
        if self.breaker.tripped_by:
            return dict.fromkeys(prefixes, self.breaker.tripped_by)
        try:
            sizes = Strip(self, prefixes, self.template.partition("{")[0]).run()
        except (Unsorted, *MALFORMED):
            return {prefix: self._one(prefix) for prefix in prefixes}
        except FAILURES as error:
            if is_denied(error):
                return {prefix: self._one(prefix) for prefix in prefixes}
            return dict.fromkeys(prefixes, self.breaker.record_failure(error))
        self.breaker.record_success()
        return {prefix: {"s3_storage_bytes": size} for prefix, size in sizes.items()}


@dataclass
class Strip:
    """A sweep over the keys of `prefixes`, which are sorted; no prefix begins with another."""

    listing: Listing
    prefixes: list[str]
    common: str
    sizes: dict[str, int] = field(default_factory=dict)

    def run(self) -> dict[str, int]:
        """Return the bytes by prefix. Raises Unsorted, or one of FAILURES or MALFORMED."""
        self.sizes = dict.fromkeys(self.prefixes, 0)
        place, after, pages = 0, "", 0
        while place < len(self.prefixes):
            prefix = self.prefixes[place]
            after = max(after, prefix[:-1] + chr(ord(prefix[-1]) - 1) + LAST)
            page = self._page(after)
            self._add(page.keys, page.sizes, place)
            if not page.token:
                break
            pages = pages + 1 if page.keys[0].startswith(prefix) and page.keys[-1].startswith(prefix) else 0
            after = page.keys[-1]
            if pages == LARGE:
                self.sizes[prefix] = self.listing.stored(prefix)
                after = _end(prefix)
            place = bisect_left(self.prefixes, True, lo=place, key=lambda each: _end(each) > after)
        return self.sizes

    def _page(self, after: str) -> Page:
        """Return the page after the key `after`, with at least one key unless it is the last page."""
        request = {"Prefix": self.common}  # sent even if it is empty: a policy may have a condition on it
        page = self.listing._page(StartAfter=after, **request)
        while page.token and not page.keys:  # possible where many objects were deleted
            page = self.listing._next(page, **request)
        if page.keys and page.keys[0] <= after:
            raise Unsorted
        return page

    def _add(self, keys: list[str], sizes: Sequence[int], place: int) -> None:
        start = 0
        while start < len(keys) and place < len(self.prefixes):
            prefix = self.prefixes[place]
            start = bisect_left(keys, prefix, lo=start)
            end = bisect_left(keys, _end(prefix), lo=start)
            self.sizes[prefix] += sum(sizes[start:end])
            start, place = end, place + 1


def _end(prefix: str) -> str:
    """Return the first text that sorts after every text with `prefix`."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
