"""ECR: images and their bytes by tag prefix, in one sweep of the shared repository."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine

from collectors import aws
from collectors.measured import Measured, Progress
from collectors.s3 import metered
from metering import database, ledger
from metering.settings import Settings


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Sample `docker_storage_bytes` and `ecr_image_count` of every metered project."""
    result = Measured("ecr", configured=settings.ecr_repository_uri is not None)
    if not result.configured:
        return result
    found = metered(engine, at, project_id)
    prefixes = {
        settings.ecr_tag_prefix.format(org_id=organization, project_id=project): project
        for project, organization in found
    }
    try:
        samples = sizes(aws.client(settings, "ecr"), repository(settings), prefixes)
    except (ClientError, BotoCoreError) as error:
        result.problem = aws.reason(error)
        result.failures = dict.fromkeys((project for project, _ in found), result.problem)
        return result
    for chunk in database.chunks(sorted(samples)):
        with database.transaction(engine) as connection:
            ledger.record_gauges(connection, "ecr", {p: samples[p] for p in chunk}, at)
        result.projects += len(chunk)
        if progress:
            progress(result.projects, len(found))
    return result


def repository(settings: Settings) -> str:
    """The repository's name: what follows the registry in its URI."""
    return (settings.ecr_repository_uri or "").partition("/")[2] or (settings.ecr_repository_uri or "")


def sizes(client: Any, name: str, prefixes: dict[str, int]) -> dict[int, dict[str, int]]:
    """Images and bytes for each project; an image under several of its tags counts once."""
    found = {project: {"ecr_image_count": 0, "docker_storage_bytes": 0} for project in prefixes.values()}
    for image in images(client, name):
        owners = {owner for tag in image.get("imageTags", ()) for owner in _owners(tag, prefixes)}
        for owner in owners:
            found[owner]["ecr_image_count"] += 1
            found[owner]["docker_storage_bytes"] += image.get("imageSizeInBytes", 0)
    return found


def images(client: Any, name: str) -> Iterator[dict[str, Any]]:
    """Every tagged image of the repository, once for each digest."""
    pages = client.get_paginator("describe_images").paginate(
        repositoryName=name, filter={"tagStatus": "TAGGED"}
    )
    seen = set()
    for page in pages:
        for image in page["imageDetails"]:
            if image["imageDigest"] not in seen:
                seen.add(image["imageDigest"])
                yield image


def _owners(tag: str, prefixes: dict[str, int]) -> Iterator[int]:
    # Prefixes end with a separator, so cutting the tag at each one finds its owner by look-up.
    for end, letter in enumerate(tag, 1):
        if not letter.isalnum() and tag[:end] in prefixes:
            yield prefixes[tag[:end]]
