"""Answers: JSON or CSV from the same rows, with ETag, gzip and the headers that caches need.

Numbers are as they are stored, money is text, instants are ISO 8601 in UTC with a Z, unknown is null.
"""

import gzip
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from api.problems import Problem
from metering.exports import csv_format

JSON, CSV = FORMS = "application/json", "text/csv"
SMALLEST_GZIP = 1_000  # bytes; below it the compressed answer takes as many packets
GZIP_LEVEL = 4
VARY = "Accept, Accept-Encoding, Authorization"
Row = Mapping[str, Any]


def one(request: Request, body: Row, aside: Sequence[str] = (), forms: Sequence[str] = FORMS) -> Response:
    """Return one resource as JSON, or as a CSV of one row; the ETag leaves out `aside`.

    Raises Problem 406 where none of `forms` is accepted.
    """
    kind = accepted(request, forms)
    content = _csv([body], tuple(body)) if kind == CSV else to_json(body)
    return _answer(request, content, kind, _tagged(body, aside) if aside else content)


def page(
    request: Request,
    items: Sequence[Row],
    following: str | None = None,
    names: Sequence[str] = (),
    more: Row | None = None,
    aside: Sequence[str] = (),
) -> Response:
    """Return a list, as JSON or as CSV with the columns `names`; `following` is the cursor of the next page.

    `more` are further members of the JSON object, of which `aside` change by themselves and are in no ETag.
    Raises Problem 406 where neither form is accepted.
    """
    kind = accepted(request, FORMS)
    body = {"items": items, "next": following, **(more or {})}
    content = _csv(items, names) if kind == CSV else to_json(body)
    answer = _answer(request, content, kind, _tagged(body, aside) if aside and kind == JSON else content)
    if following is not None:
        target = request.url.include_query_params(cursor=following)
        answer.headers["Link"] = f'<{target.path}?{target.query}>; rel="next"'
    return answer


def dated(answer: Response, modified: datetime | None) -> Response:
    """Say when the newest row of an answer was written. An ETag alone answers 304: rows also change later."""
    if modified is not None:
        answer.headers["Last-Modified"] = format_datetime(modified.astimezone(UTC), usegmt=True)
    return answer


def created(status: int, body: Row, location: str | None = None) -> Response:
    """Return the answer to a request that changed something."""
    headers = {"Cache-Control": "no-store"} | ({} if location is None else {"Location": location})
    return Response(to_json(body), status, headers, JSON)


def to_json(value: Any) -> bytes:
    """Return compact JSON in UTF-8."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=plain).encode()


def plain(value: Any) -> Any:
    """Return a value that JSON lacks as text: money without exponent, instants with Z, dates."""
    if isinstance(value, Decimal | datetime | date):
        return csv_format.text_of(value)
    return str(value)


def accepted(request: Request, offered: Sequence[str]) -> str:
    """Return the media type that the client prefers. Raises Problem 406 where it takes none of `offered`."""
    header = request.headers.get("accept", "").strip()
    if not header:
        return offered[0]
    weights = [_weight(header, kind) for kind in offered]
    best = max(weights)
    if best <= 0:
        raise Problem(406, f"this address answers in {' or '.join(offered)}")
    return offered[weights.index(best)]


def _weight(header: str, kind: str) -> float:
    """Return the weight of `kind` in an Accept header: that of the most specific range that covers it."""
    ranges = (kind, kind.split("/", maxsplit=1)[0] + "/*", "*/*")
    weights: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.lower().startswith("q=")), "1")
        try:
            weights[name.lower()] = float(quality)
        except ValueError:
            weights[name.lower()] = 0.0
    return next((weights[name] for name in ranges if name in weights), 0.0)


def _csv(items: Sequence[Row], names: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv_format.write(([row.get(name) for name in names] for row in items), names, text)
    return text.getvalue().encode()


def _tagged(body: Row, aside: Sequence[str]) -> bytes:
    return to_json({name: value for name, value in body.items() if name not in aside})


def headers_for(digest: str) -> dict[str, str]:
    """Return the headers by which a cache keeps the body with that digest."""
    # Weak: the compressed answer has the same tag, and members that change by themselves do not count.
    return {"ETag": f'W/"{digest}"', "Cache-Control": "private, no-cache", "Vary": VARY}


def _answer(request: Request, content: bytes, kind: str, tagged: bytes) -> Response:
    headers = headers_for(hashlib.blake2b(tagged + kind.encode(), digest_size=12).hexdigest())
    if is_known(request, headers):
        return Response(None, 304, headers)
    if len(content) >= SMALLEST_GZIP and takes_gzip(request):
        content = gzip.compress(content, GZIP_LEVEL, mtime=0)
        headers["Content-Encoding"] = "gzip"
    media_type = f"{CSV}; charset=utf-8" if kind == CSV else kind
    return Response(content, 200, headers, media_type)


def is_known(request: Request, headers: Mapping[str, str]) -> bool:
    """Return whether the client has this answer, by its ETag: no column says when an answer changed."""
    header = request.headers.get("if-none-match", "")
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or headers["ETag"].removeprefix("W/") in tags


def takes_gzip(request: Request) -> bool:
    """Return whether the client takes a compressed answer."""
    return _weight(request.headers.get("accept-encoding", "").replace("*", "gzip"), "gzip") > 0
