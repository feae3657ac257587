"""ECR: images and their bytes, by tag prefix in one sweep of a shared repository, or one for each project.

What is counted: tagged manifests, each digest once however many tags it has. The platforms of a
multi-arch image carry no tag of their own, so an index counts as one image, with the size ECR
gives for it; untagged leftovers belong to no project and are not counted.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from collectors import aws
from collectors.measured import Measured, Progress
from collectors.s3 import metered
from metering import database, ledger
from metering.settings import Settings

Sizes = dict[int, dict[str, int]]  # project id -> gauge -> level


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
    found, tally = metered(engine, at, project_id), aws.Tally()
    try:
        samples = _read(settings, found, result, tally)
    except aws.FAILURES as error:
        result.problem = aws.reason(error)
        result.failures, samples = {project: result.problem for project, _ in found}, {}
    for chunk in database.chunks(sorted(samples)):
        with database.transaction(engine) as connection:
            ledger.record_gauges(connection, "ecr", {p: samples[p] for p in chunk}, at)
        result.projects += len(chunk)
        if progress:
            progress(result.projects, len(found))
    result.throttles = tally.throttles
    result.record_failures(engine, at)
    return result


def _read(settings: Settings, found: list[tuple[int, int]], result: Measured, tally: aws.Tally) -> Sizes:
    client = aws.client(settings, "ecr", region(settings), tally)
    name = repository(settings)
    if "{project_id}" in name:
        return _each_its_own(client, name, found, result)
    prefixes = {
        settings.ecr_tag_prefix.format(org_id=organization, project_id=project): project
        for project, organization in found
    }
    return sizes(client, name, prefixes)


def _each_its_own(client: Any, name: str, found: list[tuple[int, int]], result: Measured) -> Sizes:
    samples = {}
    for project, organization in found:
        try:
            tagged = list(images(client, name.format(org_id=organization, project_id=project)))
        except aws.FAILURES as error:  # one repository that is denied stops no other
            result.failures[project] = aws.reason(error)
            continue
        total = sum(image.get("imageSizeInBytes", 0) for image in tagged)
        samples[project] = {"ecr_image_count": len(tagged), "docker_storage_bytes": total}
    return samples


def repository(settings: Settings) -> str:
    """The repository's name: what follows the registry in its URI."""
    return (settings.ecr_repository_uri or "").partition("/")[2] or (settings.ecr_repository_uri or "")


def region(settings: Settings) -> str | None:
    """The region that the registry's address names; None leaves it to AWS_REGION."""
    named = re.search(r"\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.", settings.ecr_repository_uri or "")
    return named[1] if named else None


def sizes(client: Any, name: str, prefixes: dict[str, int]) -> Sizes:
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
        repositoryName=name, filter={"tagStatus": "TAGGED"}, PaginationConfig={"PageSize": 1000}
    )
    seen = set()
    for page in pages:
        for image in page["imageDetails"]:
            # A push in mid-listing may shift the pages, so that an image is met twice.
            if image["imageDigest"] not in seen:
                seen.add(image["imageDigest"])
                yield image


def _owners(tag: str, prefixes: dict[str, int]) -> Iterator[int]:
    # Look-ups along the tag cost the same with ten projects and with ten thousand.
    for end in range(1, len(tag) + 1):
        if tag[:end] in prefixes:
            yield prefixes[tag[:end]]
