"""Cursors: where a list goes on, as text that belongs to one address and its filters.

A cursor holds the key of the last row (keyset), so that rows which are inserted or removed meanwhile neither
repeat nor hide others. It carries a digest of the question: with other filters it is refused.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from starlette.requests import Request

from api.problems import Problem
from metering.catalogue.periods import Day, parse_instant
from metering.errors import PeriodError

LONGEST = 400
LARGEST = 2**63 - 1  # number of a row
_FREE = ("cursor", "limit")  # parameters that may change from page to page
Kind = Callable[[Any], Any]


def encode(request: Request, key: list[Any]) -> str:
    """Return the cursor after the row with that key: integers and texts, in the order of the list."""
    content = json.dumps([_question(request), *key], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(request: Request, cursor: str | None, *kinds: Kind) -> list[Any] | None:
    """Return the key in a cursor of this question, None without a cursor. Raises Problem 422.

    `kinds` read the key's parts: anybody can write a cursor, so each part is checked like a parameter.
    """
    if cursor is None:
        return None
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        content = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        content = None
    if not isinstance(content, list) or content[:1] != [_question(request)]:
        raise _foreign()
    try:
        return [kind(part) for kind, part in zip(kinds, content[1:], strict=True)]
    except (ValueError, PeriodError):
        raise _foreign() from None


def number(part: Any) -> int:
    """Return a part that is a number of a row. Raises ValueError."""
    if type(part) is not int or not 0 <= part <= LARGEST:
        raise ValueError(part)
    return part


def day(part: Any) -> date:
    """Return a part that is a day. Raises ValueError, PeriodError."""
    return Day.parse(_text(part)).date


def instant(part: Any) -> datetime:
    """Return a part that is an instant, in UTC. Raises ValueError, PeriodError."""
    return parse_instant(_text(part))


def _text(part: Any) -> str:
    if not isinstance(part, str):
        raise ValueError(part)
    return part


def _foreign() -> Problem:
    return Problem(422, "this cursor does not belong to this list and its filters", "cursor")


def _question(request: Request) -> str:
    """Return a digest of the address and its filters."""
    filters = sorted((name, value) for name, value in request.query_params.multi_items() if name not in _FREE)
    return hashlib.sha256(json.dumps([request.url.path, filters]).encode()).hexdigest()[:16]
