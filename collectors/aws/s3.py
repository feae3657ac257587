"""S3: the bytes under each project's prefix, in each bucket of `S3_BUCKET`.

A few projects are listed prefix by prefix, many in one sweep over their keys (collectors/aws/s3_listing.py).
Another source of the same measure, such as S3 Inventory, is another `Read` of collectors/gauges.py.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime

from sqlalchemy import Engine

from collectors import gauges
from collectors.aws import s3_listing
from collectors.aws.client import RequestCount
from collectors.gauges import Project, Read
from collectors.result import CollectionResult, Progress
from metering.config.aws import Place
from metering.config.settings import Settings


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
    again: bool = False,
) -> CollectionResult:
    """Sample `s3_storage_bytes` of every metered project; one that fails stops no other.

    `again`: go on with a reading at `at` that was broken off.
    """
    result = CollectionResult("s3", configured=bool(settings.buckets))
    if not result.configured:
        return result

    @contextmanager
    def readers(tally: RequestCount) -> Iterator[dict[Place, Read]]:
        with ExitStack() as opened:
            listings = {bucket: s3_listing.reading(settings, bucket, tally) for bucket in settings.buckets}
            yield {bucket: opened.enter_context(listing) for bucket, listing in listings.items()}

    def order(project: Project) -> str:
        return settings.s3_prefix.format(org_id=project[1], project_id=project[0])

    return gauges.refresh(result, readers, engine, at, project_id, progress, again, order)
