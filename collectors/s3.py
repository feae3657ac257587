"""S3: the bytes under each project's prefix, page by page."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine, text

from collectors import aws
from collectors.measured import Measured, Progress
from metering import database, ledger
from metering.projects import METERED_UNTIL
from metering.settings import Settings

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
    found = metered(engine, at, project_id)
    client = aws.client(settings, "s3")

    def read(project: tuple[int, int]) -> tuple[int, int | str]:
        prefix = settings.s3_prefix.format(org_id=project[1], project_id=project[0])
        try:
            return project[0], stored(client, settings.s3_bucket or "", prefix)
        except (ClientError, BotoCoreError) as error:
            return project[0], aws.reason(error)

    with ThreadPoolExecutor(aws.CONCURRENCY) as pool:
        for done, (project, answer) in enumerate(pool.map(read, found), 1):
            if isinstance(answer, str):
                result.failures[project] = answer
            else:
                _record(engine, project, answer, at)
                result.projects += 1
            if progress:
                progress(done, len(found))
    return result


def stored(client: Any, bucket: str, prefix: str) -> int:
    """Bytes under `prefix`, every page of it. Raises botocore's ClientError."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return sum(item["Size"] for page in pages for item in page.get("Contents", ()))


def _record(engine: Engine, project: int, size: int, at: datetime) -> None:
    with database.transaction(engine) as connection:
        ledger.record_gauges(connection, "s3", {project: {"s3_storage_bytes": size}}, at)
