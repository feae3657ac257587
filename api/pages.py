"""Pages of a list: one row more than asked for tells whether another page follows."""

from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors
from api.access import Access, read
from metering.config.oidc import Role

Rows = list[dict[str, Any]]


def answer(
    request: Request,
    rows: Callable[[Access, int], Rows],
    limit: int,
    key: Callable[[dict[str, Any]], list[Any]],
    names: Sequence[str],
    role: Role = "viewer",
) -> Response:
    """Return a page of at most `limit` rows, which `rows` reads in the order of `key`.

    `names` are the columns of a CSV; in JSON a row has all its members.
    """
    fetched = read(request, lambda access: rows(access, limit + 1), role)
    return cut(request, fetched, limit, key, names)


def cut(
    request: Request,
    fetched: Rows,
    limit: int,
    key: Callable[[dict[str, Any]], list[Any]],
    names: Sequence[str],
    more: dict[str, Any] | None = None,
    aside: Sequence[str] = (),
) -> Response:
    """Return the first `limit` of the fetched rows, with a cursor where there are more."""
    following = cursors.encode(request, key(fetched[limit - 1])) if len(fetched) > limit else None
    items = fetched[:limit]
    modified = max((row["created_at"] for row in items if row.get("created_at")), default=None)
    return answers.dated(answers.page(request, items, following, names, more, aside), modified)
