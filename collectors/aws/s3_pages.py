"""Pages of ListObjectsV2, read for the sizes of their objects.

botocore would make a dictionary of six fields for each object, dates included, of which two are needed:
that takes far longer than AWS takes to answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from collectors.aws import response_checks
from collectors.aws.malformed import MalformedAnswer, list_of, size_of, text_of

CONTENTS = re.compile(rb"<Contents>.*?</Contents>", re.DOTALL)
KEY = re.compile(rb"<Key>(.*?)</Key>", re.DOTALL)
SIZE = re.compile(rb"<Size>(\d+)</Size>")
ENCODED = b"<EncodingType>url</EncodingType>"
END = b"</ListBucketResult>"


@dataclass(frozen=True)
class Page:
    """One page: the objects' sizes in bytes, in the order of their keys; `token` None at the end."""

    sizes: Sequence[int] = ()
    raw_keys: Sequence[bytes | str] = field(default=(), repr=False)
    prefixes: tuple[str, ...] = ()
    token: str | None = None

    @property
    def bytes(self) -> int:
        """Return the sum of the sizes of the page's objects."""
        return sum(self.sizes)

    @cached_property
    def keys(self) -> list[str]:
        """Return the keys of the objects, in order."""
        return [unquote_plus(key.decode()) if isinstance(key, bytes) else key for key in self.raw_keys]


def watch(client: Any) -> None:
    """Have `client` read pages the short way."""
    # Under the same name as the look for bodies that are too short, or it would come before that one.
    client.meta.events.register("before-parse", _fold)


def get_page(client: Any, **request: str) -> Page:
    """Return one page of ListObjectsV2. Raises one of FAILURES, or MalformedAnswer."""
    answer = client.list_objects_v2(**request)
    sizes, keys = answer.get("Folded", ((), ()))
    contents = list_of(answer, "Contents", required=False)
    token = answer.get("NextContinuationToken")
    if answer.get("IsTruncated") and not token:
        raise MalformedAnswer("a page that is not the last one names no next one")
    return Page(
        sizes or [_size(item) for item in contents],
        keys or [text_of(item, "Key") for item in contents],
        tuple(text_of(common, "Prefix") for common in list_of(answer, "CommonPrefixes", required=False)),
        token if answer.get("IsTruncated") else None,
    )


def _size(item: dict[str, Any]) -> int:
    size = size_of(item, "Size")
    if size is None:
        raise MalformedAnswer(f"no size is given for {text_of(item, 'Key')!r}")
    return size


def _fold(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], operation_model: Any, **_: Any
) -> None:
    body = response_dict["body"]
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    if not body.rstrip().endswith(END):  # without a length, nothing else tells that it was cut short
        response_checks.reject(response_dict)
        return
    keys, sizes = KEY.findall(body), SIZE.findall(body)
    if len(keys) == len(sizes) == body.count(b"<Contents>") and ENCODED in body:
        customized_response_dict["Folded"] = [int(size) for size in sizes], keys
        response_dict["body"] = CONTENTS.sub(b"", body)
    # Any other answer is left to botocore.
