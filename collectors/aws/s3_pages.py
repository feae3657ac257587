"""Pages of ListObjectsV2, read for what they weigh.

botocore would make a dictionary of six fields of each object, dates included, of which one is wanted:
that takes far longer than AWS does to answer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import unquote_plus

from collectors.aws import response_checks

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
        return sum(self.sizes)

    @cached_property
    def keys(self) -> list[str]:
        """The objects' keys, in order."""
        return [unquote_plus(key.decode()) if isinstance(key, bytes) else key for key in self.raw_keys]


def watch(client: Any) -> None:
    """Have `client` read pages the short way."""
    # Under the same name as the look for bodies that are too short, or it would come before that one.
    client.meta.events.register("before-parse", _fold)


def page(client: Any, **asked: str) -> Page:
    """One page of ListObjectsV2. Raises one of aws.FAILURES."""
    answer = client.list_objects_v2(**asked)
    sizes, keys = answer.get("Folded", ((), ()))
    left = answer.get("Contents", ())
    return Page(
        sizes or [item["Size"] for item in left],
        keys or [item["Key"] for item in left],
        tuple(common["Prefix"] for common in answer.get("CommonPrefixes", ())),
        answer.get("NextContinuationToken") if answer.get("IsTruncated") else None,
    )


def _fold(
    response_dict: dict[str, Any], customized_response_dict: dict[str, Any], operation_model: Any, **_: Any
) -> None:
    body = response_dict["body"]
    if operation_model.name != "ListObjectsV2" or response_dict["status_code"] != 200:
        return
    if not body.rstrip().endswith(END):  # without a length, nothing else tells that it was cut short
        response_checks.refuse(response_dict)
        return
    keys, sizes = KEY.findall(body), SIZE.findall(body)
    if len(keys) == len(sizes) and ENCODED in body:  # any other answer is left to botocore
        customized_response_dict["Folded"] = [int(size) for size in sizes], keys
        response_dict["body"] = CONTENTS.sub(b"", body)
