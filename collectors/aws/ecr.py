"""ECR: images and their bytes, of a shared repository by prefixes of tags, or of one for each project.

ecr_images.py says what is counted, and what of it cannot be known.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from collectors.aws.client import RequestCount, open_client, threads
from collectors.aws.ecr_api import read_images
from collectors.aws.ecr_images import Image, Images
from collectors.aws.errors import FAILURES, to_failure
from collectors.aws.malformed import MalformedAnswer
from collectors.circuit_breaker import CircuitBreaker
from collectors.failure import Failure
from collectors.gauge_collector import Project, Reader, Sample
from collectors.gauges import GaugeSource
from metering.config.aws import Place
from metering.config.settings import Settings


@contextmanager
def open_readers(
    settings: Settings, requests: RequestCount, notes: set[str]
) -> Iterator[dict[Place, Reader]]:
    """Open a reader of `docker_storage_bytes` and `ecr_image_count` for each repository.

    `notes` takes what an operator should know about the numbers.
    """
    with ExitStack() as stack:
        yield {
            repository: stack.enter_context(_open_reader(settings, repository, requests, notes))
            for repository in settings.repositories
        }


@contextmanager
def _open_reader(
    settings: Settings, repository: Place, requests: RequestCount, notes: set[str]
) -> Iterator[Reader]:
    breaker, client = CircuitBreaker(repository, "ECR_REPOSITORY_URI"), None
    try:
        client = open_client(settings, "ecr", repository.region, requests)
    except FAILURES as error:
        breaker.record_failure(error)
    with threads() as pool:
        registry = Registry(client, breaker, settings.ecr_tag_prefix, pool, notes)
        yield registry.read_own if "{project_id}" in repository.name else registry.read_shared


@dataclass
class Registry:
    """One repository, or a repository for each project, read with threads of `pool`."""

    client: Any
    breaker: CircuitBreaker
    tag_prefix: str
    pool: Executor
    notes: set[str]

    def read_own(self, projects: Sequence[Project]) -> Iterable[Sample]:
        """Count every image of each project's own repository, tagged or not."""
        self.breaker.start_pass()
        return self.pool.map(self._read_repository, projects)

    def _read_repository(self, project: Project) -> Sample:
        name = self.breaker.place.name.format(org_id=project[1], project_id=project[0])
        return self.breaker.call(lambda: self._read(name).all(), name)

    def read_shared(self, projects: Sequence[Project]) -> Iterable[Sample]:
        """Count each project's images: those that have a tag with its prefix."""
        self.breaker.start_pass()
        images = self.breaker.call(lambda: self._read(self.breaker.place.name))
        if isinstance(images, Failure):
            return [images] * len(projects)
        prefixes = {
            self.tag_prefix.format(org_id=org, project_id=project): project for project, org in projects
        }
        owned: dict[int, set[str]] = {project: set() for project, _ in projects}
        for image in images.manifests.values():
            for tag in image.tags:
                for owner in _owners(tag, prefixes):
                    owned[owner].add(image.digest)
        self._note_leftovers(images)
        return [self._levels(images, owned[project]) for project, _ in projects]

    def _levels(self, images: Images, digests: set[str]) -> Sample:
        try:
            return images.levels(digests)
        except MalformedAnswer as error:
            return to_failure(error, self.breaker.place, self.breaker.variable)

    def _read(self, name: str) -> Images:
        """Return the images of the repository `name`. Raises one of FAILURES, or MalformedAnswer."""
        images = read_images(self.client, name, self.breaker.place.registry)
        if not images.complete:
            self.notes.add(
                f"{name} holds multi-arch images whose platforms are not known (no ecr:BatchGetImage): "
                "untagged images are not counted, and in a shared repository an index counts as its largest "
                "platform"
            )
        return images

    def _note_leftovers(self, images: Images) -> None:
        leftovers = images.leftovers()
        if leftovers:
            size = self._size(images, leftovers)
            self.notes.add(
                f"{len(leftovers):,} untagged images of {size} "
                f"in {self.breaker.place.name} belong to no project: they have no tag"
            )

    @staticmethod
    def _size(images: Images, leftovers: list[Image]) -> str:
        try:
            levels = images.levels(image.digest for image in leftovers)
        except MalformedAnswer:
            return "unknown size"
        return f"{levels['docker_storage_bytes']:,} bytes"


def _owners(tag: str, prefixes: dict[str, int]) -> Iterator[int]:
    # Look-ups along the tag cost the same for ten projects and for ten thousand.
    for end in range(1, len(tag) + 1):
        if tag[:end] in prefixes:
            yield prefixes[tag[:end]]


ECR = GaugeSource("ecr", open_readers)
