"""The images of an ECR repository, each digest once however many tags it has and however often it is met.

What AWS bills is the bytes of layers, so an image weighs what its platforms weigh: a multi-arch image
is an index of manifests that have bytes and rarely a tag; it counts as one image, with the bytes of
all its platforms, which are not images of their own. Layers that images share are in each of them:
ECR does not tell which those are.

Untagged images count where the repository is a project's own, since they are stored and billed. In a
shared repository nothing tells whose they are, but for the platforms of an index that has a tag.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from collectors.aws.errors import error_code, is_denied

INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MOST = 100  # images of one BatchGetImage
UNABLE = {"UnknownOperationException", "InvalidAction"}  # of registries that imitate ECR

Levels = dict[str, int]


@dataclass(frozen=True)
class Images:
    """`manifests`: digest -> what DescribeImages says of it; `platforms`: index -> the digests in it.

    Not `whole`: which platforms some index has is not known.
    """

    manifests: Mapping[str, Mapping[str, Any]]
    platforms: Mapping[str, frozenset[str]]
    whole: bool = True

    def all(self) -> Levels:
        """Everything in the repository; what has no tag is no image where platforms cannot be told."""
        tagged = self._tagged()
        if self.whole or len(tagged) == len(self.manifests):
            return self.levels(self.manifests)
        # An index has no bytes but those of its platforms, which are here.
        stored = (image for image in self.manifests.values() if not _is_index(image))
        return self.levels(tagged) | {"docker_storage_bytes": sum(map(_size, stored))}

    def levels(self, digests: Iterable[str]) -> Levels:
        """Those images with their platforms."""
        given = set(digests)
        inside = self._inside(given)
        weighed = (given | inside) & self.manifests.keys() - self.platforms.keys()
        size = sum(_size(self.manifests[digest]) for digest in weighed)
        return {"ecr_image_count": len(given - inside), "docker_storage_bytes": size}

    def leftovers(self) -> Levels:
        """What no tag leads to."""
        tagged = self._tagged()
        left = self.manifests.keys() - tagged - self._inside(tagged)
        return self.levels(left if self.whole else ())

    def _tagged(self) -> set[str]:
        return {digest for digest, image in self.manifests.items() if image.get("imageTags")}

    def _inside(self, digests: Iterable[str]) -> set[str]:
        found: set[str] = set()
        waiting = list(digests)
        while waiting:
            more = self.platforms.get(waiting.pop(), frozenset()) - found
            found |= more
            waiting += more
        return found


def read(client: Any, name: str, registry: str | None) -> Images:
    """Every image of the repository `name`. Raises one of aws.FAILURES."""
    whose = {"repositoryName": name} | ({"registryId": registry} if registry else {})
    manifests = {image["imageDigest"]: image for image in _described(client, whose)}
    indexes = [digest for digest, image in manifests.items() if _is_index(image)]
    platforms: dict[str, frozenset[str]] = {}
    for start in range(0, len(indexes), MOST):
        found, gone = _platforms(client, whose, indexes[start : start + MOST])
        platforms |= found
        for digest in gone:
            del manifests[digest]
    return Images(manifests, platforms, whole=not set(indexes) & manifests.keys() - platforms.keys())


def _is_index(image: Mapping[str, Any]) -> bool:
    return image.get("imageManifestMediaType") in INDEXES


def _size(image: Mapping[str, Any]) -> int:
    return int(image.get("imageSizeInBytes", 0))


def _described(client: Any, whose: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    pages = client.get_paginator("describe_images").paginate(**whose, PaginationConfig={"PageSize": 1000})
    for page in pages:
        yield from page["imageDetails"]


def _platforms(
    client: Any, whose: Mapping[str, str], indexes: list[str]
) -> tuple[dict[str, frozenset[str]], set[str]]:
    """The digests in each index; and the indexes that have expired since they were listed."""
    asked = [{"imageDigest": digest} for digest in indexes]
    try:
        answer = client.batch_get_image(**whose, imageIds=asked, acceptedMediaTypes=list(INDEXES))
    except ClientError as error:
        if not is_denied(error) and error_code(error) not in UNABLE:
            raise
        return {}, set()
    found = {
        image["imageId"]["imageDigest"]: frozenset(
            entry["digest"] for entry in json.loads(image["imageManifest"]).get("manifests", ())
        )
        for image in answer.get("images", ())
    }
    failed = answer.get("failures", ())
    gone = {each["imageId"].get("imageDigest") for each in failed if each["failureCode"] == "ImageNotFound"}
    return found, gone & set(indexes)
