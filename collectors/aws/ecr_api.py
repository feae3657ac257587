"""Read a repository's images from ECR, or from a registry that imitates it."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError

from collectors.aws.ecr_images import INDEXES, Image, Images
from collectors.aws.errors import error_code, is_denied
from collectors.aws.malformed import MALFORMED, MalformedAnswer, list_of, size_of, text_of

MAX_BATCH = 100  # images of one BatchGetImage
NOT_SUPPORTED = {"UnknownOperationException", "InvalidAction"}  # of registries that imitate ECR


def read_images(client: Any, name: str, registry: str | None) -> Images:
    """Return every image of the repository `name`. Raises one of FAILURES or MalformedAnswer."""
    repository = {"repositoryName": name} | ({"registryId": registry} if registry else {})
    manifests = {image.digest: image for image in _describe(client, repository)}
    indexes = [digest for digest, image in manifests.items() if image.is_index]
    platforms: dict[str, frozenset[str]] = {}
    malformed: dict[str, str] = {}
    for start in range(0, len(indexes), MAX_BATCH):
        answer = _batch_get(client, repository, indexes[start : start + MAX_BATCH])
        for digest in _expired(answer) & manifests.keys():
            del manifests[digest]
        for digest, manifest in _manifests(answer).items():
            try:
                platforms[digest] = _platforms(manifest)
            except MALFORMED as error:
                malformed[digest] = f"the manifest of {digest} makes no sense ({_detail(error)})"
    unknown = set(indexes) & manifests.keys() - platforms.keys() - malformed.keys()
    return Images(manifests, platforms, malformed, complete=not unknown)


def _describe(client: Any, repository: Mapping[str, str]) -> list[Image]:
    pages = client.get_paginator("describe_images").paginate(
        **repository, PaginationConfig={"PageSize": 1000}
    )
    return [_image(item) for page in pages for item in list_of(page, "imageDetails")]


def _image(item: dict[str, Any]) -> Image:
    tags = item.get("imageTags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise MalformedAnswer("imageTags is no list of texts")
    is_index = item.get("imageManifestMediaType") in INDEXES
    return Image(text_of(item, "imageDigest"), tuple(tags), size_of(item, "imageSizeInBytes"), is_index)


def _batch_get(client: Any, repository: Mapping[str, str], indexes: list[str]) -> dict[str, Any]:
    """Return the answer of BatchGetImage, empty where it is not granted or not supported."""
    image_ids = [{"imageDigest": digest} for digest in indexes]
    try:
        answer: dict[str, Any] = client.batch_get_image(
            **repository, imageIds=image_ids, acceptedMediaTypes=list(INDEXES)
        )
    except ClientError as error:
        if not is_denied(error) and error_code(error) not in NOT_SUPPORTED:
            raise
        return {}
    return answer


def _manifests(answer: dict[str, Any]) -> dict[str, Any]:
    return {_digest(image): image.get("imageManifest") for image in list_of(answer, "images", required=False)}


def _expired(answer: dict[str, Any]) -> set[str]:
    """Return the indexes that have expired since they were listed."""
    failures = list_of(answer, "failures", required=False)
    return {_digest(failure) for failure in failures if failure.get("failureCode") == "ImageNotFound"}


def _digest(item: dict[str, Any]) -> str:
    image_id = item.get("imageId")
    return text_of(image_id if isinstance(image_id, dict) else {}, "imageDigest")


def _platforms(manifest: Any) -> frozenset[str]:
    entries = list_of(json.loads(manifest), "manifests")
    return frozenset(text_of(entry, "digest") for entry in entries)


def _detail(error: BaseException) -> str:
    return str(error) if isinstance(error, MalformedAnswer) else type(error).__name__
