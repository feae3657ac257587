"""Exports: the files that the command line writes, from one snapshot."""

import base64
import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api import answers, context
from api.access import Access, read
from api.parameters import OfMonth
from api.requests import ApiRoute
from metering.catalogue.periods import Month
from metering.exports.export import Export
from metering.exports.write import write

router = APIRouter(tags=["Exports"], route_class=ApiRoute)
TYPES = {"csv": answers.CSV, "json": answers.JSON, "parquet": "application/vnd.apache.parquet"}
_ROWS = {"type": "array", "items": {"type": "object", "additionalProperties": True}}
SHAPES: dict[str, Any] = {
    TYPES["csv"]: {"type": "string"},
    TYPES["json"]: _ROWS,
    TYPES["parquet"]: {"type": "string", "format": "binary"},
}
CHUNK = 1 << 20
TIMEOUT = "10min"


@router.get(
    "/exports/monthly",
    summary="The bills of a month as a file",
    response_class=Response,
    responses={200: {"content": {kind: {"schema": shape} for kind, shape in SHAPES.items()}}},
)
async def monthly(
    request: Request,
    month: OfMonth,
    format: Annotated[
        Literal["csv", "json", "parquet"] | None,
        Query(description="The form of the file; left out, the one that `Accept` prefers, or csv."),
    ] = None,
) -> Response:
    """Return what `fleetmeter export monthly` writes; its rows are those of one instant."""
    period = Month.parse(month)
    kind = answers.accepted(request, [TYPES[format]] if format else list(TYPES.values()))
    form = next(form for form, media_type in TYPES.items() if media_type == kind)
    writing = partial(_written, request, period, form)
    # Few at a time: a long one must not take every connection from those who ask for little.
    return await anyio.to_thread.run_sync(writing, limiter=context.of(request).exports)


def _written(request: Request, month: Month, form: str) -> Response:
    """Return the file, which is written first and sent then: a slow reader holds no transaction."""

    def body(access: Access) -> None:
        write(access.connection, Export.for_month(month), form, path)

    with _kept_on_success() as path:
        read(request, body, timeout=TIMEOUT)
        headers = answers.headers_for(_digest(path).hex())
        if answers.is_known(request, headers):
            path.unlink()
            return Response(None, 304, headers)
        if form != "parquet" and answers.takes_gzip(request):  # Parquet is compressed by itself
            _compress(path)
            headers["Content-Encoding"] = "gzip"
        headers["Content-Length"] = str(path.stat().st_size)
        headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(_digest(path)).decode()}:"
        headers["Content-Disposition"] = f'attachment; filename="fleetmeter-monthly-{month}.{form}"'
        removal = BackgroundTask(path.unlink, missing_ok=True)
        return StreamingResponse(_chunks(path), 200, headers, TYPES[form], removal)


@contextmanager
def _kept_on_success() -> Iterator[Path]:
    """Yield the path of a temporary file, which is removed when what follows fails."""
    handle, name = tempfile.mkstemp(prefix="fleetmeter-export-")
    os.close(handle)
    path = Path(name)
    try:
        yield path
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _compress(path: Path) -> None:
    """Replace the file by its gzip, the same bytes each time."""
    with _kept_on_success() as packed:
        with (
            path.open("rb") as plain,
            packed.open("wb") as target,
            gzip.GzipFile("", "wb", answers.GZIP_LEVEL, target, mtime=0) as stream,
        ):
            shutil.copyfileobj(plain, stream, CHUNK)
        packed.replace(path)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.digest()
