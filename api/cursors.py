"""Cursors: where a list goes on, as text that belongs to one address and its filters.

A cursor holds the key of the last row (keyset), so that rows which are inserted or removed meanwhile neither
repeat nor hide others. It carries a digest of the question: with other filters it is refused.
"""

import base64
import binascii
import hashlib
import json
from typing import Any

from starlette.requests import Request

from api.problems import Problem

LONGEST = 400
_FREE = ("cursor", "limit")  # parameters that may change from page to page


def encode(request: Request, key: list[Any]) -> str:
    """Return the cursor after the row with that key: integers and texts, in the order of the list."""
    content = json.dumps([_question(request), *key], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(request: Request, cursor: str | None, *kinds: type) -> list[Any] | None:
    """Return the key in a cursor of this question, None without a cursor. Raises Problem 422.

    `kinds` are the types of the key's parts.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or content[:1] != [_question(request)]:
        raise Problem(422, "this cursor does not belong to this list and its filters", "cursor")
    key = content[1:]
    if len(key) != len(kinds) or any(type(part) is not kind for part, kind in zip(key, kinds, strict=True)):
        raise Problem(422, "this cursor does not belong to this list and its filters", "cursor")
    return key


def _question(request: Request) -> str:
    """Return a digest of the address and its filters."""
    filters = sorted((name, value) for name, value in request.query_params.multi_items() if name not in _FREE)
    return hashlib.sha256(json.dumps([request.url.path, filters]).encode()).hexdigest()[:16]
