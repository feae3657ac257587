"""ECR: images and their bytes, of a shared repository by prefixes of tags, or of one for each project.

What is counted, and what of it cannot be known, is in ecr_images.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from collectors import gauges
from collectors.aws import ecr_images
from collectors.aws.client import RequestCount, open_client, threads
from collectors.aws.ecr_images import Images
from collectors.aws.errors import FAILURES, Failure
from collectors.circuit_breaker import Breaker
from collectors.gauges import Project, Read, Sample
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
    """Sample `docker_storage_bytes` and `ecr_image_count` of every metered project.

    `again`: go on with a reading at `at` that was broken off.
    """
    result = CollectionResult("ecr", configured=bool(settings.repositories))
    if not result.configured:
        return result

    @contextmanager
    def readers(tally: RequestCount) -> Iterator[dict[Place, Read]]:
        with ExitStack() as opened:
            registries = {
                place: reading(settings, place, tally, result.notes) for place in settings.repositories
            }
            yield {place: opened.enter_context(registry) for place, registry in registries.items()}

    return gauges.refresh(result, readers, engine, at, project_id, progress, again)


@contextmanager
def reading(settings: Settings, repository: Place, tally: RequestCount, notes: set[str]) -> Iterator[Read]:
    """Reading one repository, or where its name holds {project_id} those of the projects.

    `notes` takes what an operator should know of numbers that are right as far as they go.
    """
    breaker, client = Breaker(repository, "ECR_REPOSITORY_URI"), None
    try:
        client = open_client(settings, "ecr", repository.region, tally)
    except FAILURES as error:
        breaker.note(error)
    with threads() as pool:
        registry = Registry(client, breaker, settings.ecr_tag_prefix, pool, notes)
        yield registry.each_its_own if "{project_id}" in repository.name else registry.shared


@dataclass
class Registry:
    """One repository, or a repository for each project, read with threads of `pool`."""

    client: Any
    breaker: Breaker
    tag_prefix: str
    pool: Executor
    notes: set[str]

    def each_its_own(self, found: Sequence[Project]) -> Iterable[Sample]:
        """Every image of a project's own repository, tagged or not."""
        self.breaker.start()
        return self.pool.map(self._own, found)

    def _own(self, project: Project) -> Sample:
        name = self.breaker.place.name.format(org_id=project[1], project_id=project[0])
        return self.breaker.ask(lambda: self._read(name).all())

    def shared(self, found: Sequence[Project]) -> Iterable[Sample]:
        """The images of a sweep whose tags have a project's prefix; for each such project they count."""
        self.breaker.start()
        swept = self.breaker.ask(lambda: self._read(self.breaker.place.name))
        if isinstance(swept, Failure):
            return [swept] * len(found)
        prefixes = {self.tag_prefix.format(org_id=org, project_id=project): project for project, org in found}
        owned: dict[int, set[str]] = {project: set() for project, _ in found}
        for digest, image in swept.manifests.items():
            for tag in image.get("imageTags", ()):
                for owner in _owners(tag, prefixes):
                    owned[owner].add(digest)
        self._note_leftovers(swept)
        return [swept.levels(owned[project]) for project, _ in found]

    def _read(self, name: str) -> Images:
        """Every manifest of a repository, and what its indexes hold. Raises one of aws.FAILURES."""
        images = ecr_images.read(self.client, name, self.breaker.place.registry)
        if not images.whole:
            self.notes.add(
                f"{name} holds multi-arch images whose platforms cannot be told (no ecr:BatchGetImage): "
                "untagged images are not counted, and in a shared repository an index weighs its largest"
            )
        return images

    def _note_leftovers(self, images: Images) -> None:
        left = images.leftovers()
        if left["ecr_image_count"]:
            self.notes.add(
                f"{left['ecr_image_count']:,} untagged images of {left['docker_storage_bytes']:,} bytes "
                f"in {self.breaker.place.name} belong to no project: they have no tag to tell by"
            )


def _owners(tag: str, prefixes: dict[str, int]) -> Iterator[int]:
    # Look-ups along the tag cost the same with ten projects and with ten thousand.
    for end in range(1, len(tag) + 1):
        if tag[:end] in prefixes:
            yield prefixes[tag[:end]]
