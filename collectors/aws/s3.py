"""S3: the bytes under each project's prefix, in each bucket of `S3_BUCKET`.

A few projects are listed prefix by prefix, many in one sweep over their keys (s3_listing.py).
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from collectors.aws import s3_listing
from collectors.aws.client import RequestCount
from collectors.gauge_collector import Project, Reader
from collectors.gauges import GaugeSource
from metering.config.aws import Place
from metering.config.settings import Settings


@contextmanager
def open_readers(settings: Settings, requests: RequestCount, _: set[str]) -> Iterator[dict[Place, Reader]]:
    """Open a reader of `s3_storage_bytes` for each bucket."""
    with ExitStack() as stack:
        yield {
            bucket: stack.enter_context(s3_listing.open_reader(settings, bucket, requests))
            for bucket in settings.buckets
        }


def prefix(settings: Settings, project: Project) -> str:
    """Return the prefix of a project's keys."""
    return settings.s3_prefix.format(org_id=project[1], project_id=project[0])


S3 = GaugeSource("s3", open_readers, order=prefix)
