"""Exports: the files that the command line writes, from one snapshot."""

import base64
import hashlib
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio.to_thread
from fastapi import APIRouter, Query
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from api import context
from api.access import Access, read
from api.parameters import OfMonth
from api.requests import ApiRoute
from metering.catalogue.periods import Month
from metering.exports.export import Export
from metering.exports.write import write

router = APIRouter(tags=["Exports"], route_class=ApiRoute)
TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
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
    format: Annotated[Literal["csv", "json", "parquet"], Query(description="The form of the file.")] = "csv",
) -> Response:
    """Return what `fleetmeter export monthly` writes; its rows are those of one instant."""
    period = Month.parse(month)
    writing = partial(_written, request, period, format)
    # Few at a time: a long one must not take every connection from those who ask for little.
    return await anyio.to_thread.run_sync(writing, limiter=context.of(request).exports)


def _written(request: Request, month: Month, form: str) -> Response:
    """Return the file, which is written first and sent then: a slow reader holds no transaction."""
    handle, name = tempfile.mkstemp(prefix="fleetmeter-export-")
    os.close(handle)
    path = Path(name)

    def body(access: Access) -> None:
        write(access.connection, Export.for_month(month), form, path)

    try:
        read(request, body, timeout=TIMEOUT)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    headers = {"Cache-Control": "private, no-cache", "Repr-Digest": f"sha-256=:{_digest(path)}:"}
    removal = BackgroundTask(path.unlink, missing_ok=True)
    return FileResponse(path, 200, headers, TYPES[form], removal, f"fleetmeter-monthly-{month}.{form}")


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
    return base64.b64encode(digest.digest()).decode()
