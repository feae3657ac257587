"""The images of an ECR repository, each digest once however many tags it has.

AWS bills the bytes of layers, so an image weighs as much as its platforms: a multi-arch image is an
index of manifests that have bytes and rarely a tag; it counts as one image, with the bytes of all its
platforms, which are not images of their own. Layers that images share are counted with each of them:
ECR does not tell which those are.

Untagged images count where the repository is a project's own, since they are stored and billed. In a
shared repository nothing tells whose they are, except for the platforms of an index that has a tag.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from collectors.aws.malformed import MalformedAnswer

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)

Levels = dict[str, int]


@dataclass(frozen=True)
class Image:
    """One manifest of a repository: its tags, and its bytes, None where the registry does not say them."""

    digest: str
    tags: tuple[str, ...] = ()
    size: int | None = None
    is_index: bool = False


@dataclass(frozen=True)
class Images:
    """A repository: `manifests` by digest; `platforms`: the digests in each index.

    `malformed`: indexes whose manifest makes no sense, with the reason.
    `complete` is False if the platforms of some index could not be read.
    """

    manifests: Mapping[str, Image]
    platforms: Mapping[str, frozenset[str]]
    malformed: Mapping[str, str]
    complete: bool = True

    def all(self) -> Levels:
        """Return the levels of the whole repository.

        Where platforms are not known, untagged manifests do not count as images. Raises MalformedAnswer
        if a size or the platforms of an index make no sense.
        """
        tagged = self._tagged()
        if self.complete or len(tagged) == len(self.manifests):
            return self.levels(self.manifests)
        # An index has no bytes but those of its platforms, which are here.
        stored = (image for image in self.manifests.values() if not image.is_index)
        return self.levels(tagged) | {"docker_storage_bytes": sum(map(_known_size, stored))}

    def levels(self, digests: Iterable[str]) -> Levels:
        """Return the levels of those images with their platforms. Raises MalformedAnswer as `all` does."""
        images = set(digests)
        inside = self._inside(images)
        for digest in sorted((images | inside) & self.malformed.keys()):
            raise MalformedAnswer(self.malformed[digest])
        weighed = (images | inside) & self.manifests.keys() - self.platforms.keys()
        size = sum(_known_size(self.manifests[digest]) for digest in weighed)
        return {"ecr_image_count": len(images - inside), "docker_storage_bytes": size}

    def leftovers(self) -> list[Image]:
        """Return the images that no tag leads to; an empty list where platforms are not known."""
        if not self.complete or self.malformed:
            return []
        tagged = self._tagged()
        untagged = self.manifests.keys() - tagged - self._inside(tagged)
        return [self.manifests[digest] for digest in untagged - self._inside(untagged)]

    def _tagged(self) -> set[str]:
        return {digest for digest, image in self.manifests.items() if image.tags}

    def _inside(self, digests: Iterable[str]) -> set[str]:
        inside: set[str] = set()
        pending = list(digests)
        while pending:
            more = self.platforms.get(pending.pop(), frozenset()) - inside
            inside |= more
            pending += more
        return inside


def _known_size(image: Image) -> int:
    if image.size is None:
        raise MalformedAnswer(f"no size is given for {image.digest}")
    return image.size
