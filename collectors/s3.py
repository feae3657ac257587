"""S3: the bytes under each project's prefix, page by page; the projects, and parts of large ones, at once.

`S3_BUCKET` may list a bucket for each region of `AWS_REGION`; a project's figure is the sum, and is
unknown unless every bucket was read. Another source of the same measure has `read`'s shape.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, text

from collectors import aws
from collectors.measured import Measured, Progress
from metering import database, ledger
from metering.projects import METERED_UNTIL
from metering.settings import Settings

MOST_PARTS = 32  # sub-prefixes read apart; a listing of more would cost more calls than it saves
BATCH = 200  # projects recorded in one transaction, as they come

Read = Callable[[str], int]  # a prefix -> bytes under it; raises one of aws.FAILURES

METERED = text(f"""
    SELECT p.id, p.organization_id FROM projects p
    WHERE p.created_at <= :at AND {METERED_UNTIL} > :at
        AND (CAST(:project_id AS bigint) IS NULL OR p.id = :project_id)
    ORDER BY p.id""")


def metered(engine: Engine, at: datetime, project_id: int | None) -> list[tuple[int, int]]:
    """(project id, organization id) of the projects that are metered at `at`."""
    with database.transaction(engine) as connection:
        rows = connection.execute(METERED, {"at": at, "project_id": project_id})
        return [(row[0], row[1]) for row in rows]


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Sample `s3_storage_bytes` of every metered project; one that fails stops no other."""
    result = Measured("s3", configured=settings.s3_bucket is not None)
    if not result.configured:
        return result
    found, tally = metered(engine, at, project_id), aws.Tally()
    try:
        with listing(settings, tally) as read, ThreadPoolExecutor(aws.CONCURRENCY) as pool:
            for batch in database.chunks(range(len(found)), BATCH):
                some = [found[i] for i in batch]
                answers = pool.map(lambda project: _answer(settings, read, project), some)
                _record(engine, result, dict(answers), at)
                if progress:
                    progress(result.projects + len(result.failures), len(found))
    except aws.FAILURES as error:  # no client could be made: no region, no such profile
        result.problem = aws.reason(error)
        result.failures = {project: result.problem for project, _ in found}
    result.throttles = tally.throttles
    result.record_failures(engine, at)
    return result


@contextmanager
def listing(settings: Settings, tally: aws.Tally) -> Iterator[Read]:
    """Reading by listing: every page of the prefix, in each region's bucket."""
    buckets = [bucket.strip() for bucket in (settings.s3_bucket or "").split(",")]
    regions = (*settings.aws_region, *[None] * len(buckets))
    clients = [
        (aws.client(settings, "s3", region, tally), bucket)
        for bucket, region in zip(buckets, regions, strict=False)
    ]
    with ThreadPoolExecutor(aws.CONCURRENCY) as parts:
        yield lambda prefix: sum(stored(client, bucket, prefix, parts) for client, bucket in clients)


def stored(client: Any, bucket: str, prefix: str, parts: Executor) -> int:
    """Bytes under `prefix`, every page of it; the sub-prefixes of a large one are read at once."""
    page = client.list_objects_v2(Bucket=bucket, Prefix=prefix)
    if not page.get("IsTruncated"):
        return _bytes(page)
    top = client.list_objects_v2(Bucket=bucket, Prefix=prefix, Delimiter="/")
    within = [common["Prefix"] for common in top.get("CommonPrefixes", ())]
    if top.get("IsTruncated") or not 1 < len(within) <= MOST_PARTS:
        return _bytes(page) + _rest(client, bucket, prefix, page["NextContinuationToken"])
    return _bytes(top) + sum(parts.map(lambda part: _rest(client, bucket, part), within))


def _rest(client: Any, bucket: str, prefix: str, token: str | None = None) -> int:
    more = {"ContinuationToken": token} if token else {}
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, **more)
    return sum(_bytes(page) for page in pages)


def _bytes(page: dict[str, Any]) -> int:
    return sum(item["Size"] for item in page.get("Contents", ()))


def _answer(settings: Settings, read: Read, project: tuple[int, int]) -> tuple[int, int | str]:
    try:
        return project[0], read(settings.s3_prefix.format(org_id=project[1], project_id=project[0]))
    except aws.FAILURES as error:
        return project[0], aws.reason(error)


def _record(engine: Engine, result: Measured, answers: dict[int, int | str], at: datetime) -> None:
    result.failures |= {project: why for project, why in answers.items() if isinstance(why, str)}
    samples = {p: {"s3_storage_bytes": size} for p, size in answers.items() if isinstance(size, int)}
    if samples:
        with database.transaction(engine) as connection:
            ledger.record_gauges(connection, "s3", samples, at)
    result.projects += len(samples)
