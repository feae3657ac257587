"""ECR: images and their bytes, by tag prefix in one sweep of a shared repository, or one for each project.

What is counted: tagged manifests, each digest once however many tags it has. The platforms of a
multi-arch image carry no tag of their own, so an index counts as one image, with the size ECR
gives for it; untagged leftovers cannot be told from such platforms and are not counted.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from collectors import aws, levels
from collectors.aws_errors import FAILURES, Failure
from collectors.levels import Breaker, Levels, Part, Project, Read
from collectors.measured import Measured, Progress
from metering.cloud import Place
from metering.settings import Settings


def refresh(
    settings: Settings,
    engine: Engine,
    at: datetime,
    project_id: int | None = None,
    progress: Progress | None = None,
    again: bool = False,
) -> Measured:
    """Sample `docker_storage_bytes` and `ecr_image_count` of every metered project.

    `again`: go on with a reading at `at` that was broken off.
    """
    result = Measured("ecr", configured=bool(settings.repositories))
    if not result.configured:
        return result

    @contextmanager
    def readers(tally: aws.Tally) -> Iterator[dict[Place, Read]]:
        with ExitStack() as opened:
            registries = {place: reading(settings, place, tally) for place in settings.repositories}
            yield {place: opened.enter_context(registry) for place, registry in registries.items()}

    return levels.refresh(result, readers, engine, at, project_id, progress, again)


@contextmanager
def reading(settings: Settings, repository: Place, tally: aws.Tally) -> Iterator[Read]:
    """Reading one repository, or where its name holds {project_id} those of the projects."""
    breaker, client = Breaker(repository, "ECR_REPOSITORY_URI"), None
    try:
        client = aws.client(settings, "ecr", repository.region, tally)
    except FAILURES as error:
        breaker.note(error)
    with aws.threads() as pool:
        registry = Registry(client, breaker, settings.ecr_tag_prefix, pool)
        yield registry.each_its_own if "{project_id}" in repository.name else registry.shared


@dataclass
class Registry:
    """One repository, or a repository for each project, read with threads of `pool`."""

    client: Any
    breaker: Breaker
    tag_prefix: str
    pool: Executor

    def each_its_own(self, found: Sequence[Project]) -> Iterable[Part]:
        """Every tagged image of a project's own repository."""
        return self.pool.map(self._own, found)

    def _own(self, project: Project) -> Part:
        name = self.breaker.place.name.format(org_id=project[1], project_id=project[0])
        return self.breaker.ask(lambda: _levels(self.images(name)))

    def shared(self, found: Sequence[Project]) -> Iterable[Part]:
        """The tagged images of one sweep, by the prefixes of their tags."""
        prefixes = {self.tag_prefix.format(org_id=org, project_id=project): project for project, org in found}
        sizes: dict[int, Levels] = {project: _levels(()) for project, _ in found}

        def sweep() -> Levels:
            for image in self.images(self.breaker.place.name):
                _attribute(image, prefixes, sizes)
            return {}

        swept = self.breaker.ask(sweep)
        return [swept if isinstance(swept, Failure) else sizes[project] for project, _ in found]

    def images(self, name: str) -> Iterator[dict[str, Any]]:
        """Every tagged image of the repository, once for each digest. Raises one of aws.FAILURES."""
        account = {"registryId": self.breaker.place.registry} if self.breaker.place.registry else {}
        pages = self.client.get_paginator("describe_images").paginate(
            repositoryName=name,
            filter={"tagStatus": "TAGGED"},
            PaginationConfig={"PageSize": 1000},
            **account,
        )
        seen = set()
        for page in pages:
            for image in page["imageDetails"]:
                # A push in mid-listing may shift the pages, so that an image is met twice.
                if image.get("imageTags") and image["imageDigest"] not in seen:
                    seen.add(image["imageDigest"])
                    yield image


def _levels(images: Iterable[dict[str, Any]]) -> Levels:
    sizes = [image.get("imageSizeInBytes", 0) for image in images]
    return {"ecr_image_count": len(sizes), "docker_storage_bytes": sum(sizes)}


def _attribute(image: dict[str, Any], prefixes: dict[str, int], sizes: dict[int, Levels]) -> None:
    """An image is each project's whose prefix some of its tags has; for each it counts once."""
    for owner in {owner for tag in image["imageTags"] for owner in _owners(tag, prefixes)}:
        sizes[owner]["ecr_image_count"] += 1
        sizes[owner]["docker_storage_bytes"] += image.get("imageSizeInBytes", 0)


def _owners(tag: str, prefixes: dict[str, int]) -> Iterator[int]:
    # Look-ups along the tag cost the same with ten projects and with ten thousand.
    for end in range(1, len(tag) + 1):
        if tag[:end] in prefixes:
            yield prefixes[tag[:end]]
