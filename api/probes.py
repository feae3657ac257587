"""Probes of the API where it is served alone: /healthz is the process, /readyz the database, /metrics both.

In the console's server the same addresses are the console's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from api import context, latency
from api.context import Context
from metering.db import scope as row_security
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.probes import figures
from metering.probes.access import REFUSAL, trusted

PATHS = ("/healthz", "/readyz", "/metrics")


def add_to(app: Starlette) -> None:
    """Answer `PATHS`."""
    for path, answer in zip(PATHS, (_healthz, _readyz, _metrics), strict=True):
        app.add_route(path, answer, include_in_schema=False)


async def _healthz(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _readyz(request: Request) -> Response:
    return await run_in_threadpool(_ready, request)


async def _metrics(request: Request) -> Response:
    settings = context.of(request).settings
    if not trusted(request.headers.get("authorization", ""), settings, settings.api_address):
        return PlainTextResponse(REFUSAL, 401, {"WWW-Authenticate": "Bearer"})
    return await run_in_threadpool(_figures, request)


def _ready(request: Request) -> Response:
    """Answer whether a request would find the database and our tables."""
    try:
        with _snapshot(context.of(request)) as snapshot:
            figures.require_tables(snapshot.connection)
    except (FleetmeterError, SQLAlchemyError):
        return PlainTextResponse("not ready: the database cannot be read\n", 503)
    return PlainTextResponse("ready\n")


def _figures(request: Request) -> Response:
    body = figures.current_figures(_snapshot(context.of(request)))
    return Response(body + latency.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


class ProbeSnapshot(NamedTuple):
    """A transaction that sees every row, and the instant that it shows, in UTC."""

    connection: Connection
    at: datetime


@contextmanager
def _snapshot(server: Context) -> Iterator[ProbeSnapshot]:
    with transaction(server.engine) as connection:
        row_security.limit(connection, None)
        yield ProbeSnapshot(connection, server.now())
