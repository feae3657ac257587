"""Probes for machines: /healthz is the process, /readyz the database, /metrics for Prometheus.

An unknown path is answered 200 with the index page, so a probe must check the body. The first two are public.
/metrics takes a token where people sign in: behind a proxy on the same machine every caller comes from
loopback, so the caller's address proves nothing.
"""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api import latency
from console.data.transactions import probe_transaction
from metering.config.settings import current_settings
from metering.errors import FleetmeterError
from metering.probes import access, figures

GUARDED = ("/metrics", "/_stcore/metrics")
REFUSAL = PlainTextResponse(
    f"fleetmeter: {access.REFUSAL}", status_code=401, headers={"WWW-Authenticate": "Bearer"}
)


async def healthz(_request: Request) -> Response:
    """Answer that the process runs."""
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """Answer whether the database can be reached and holds our tables."""
    return await run_in_threadpool(_ready)


async def metrics(_request: Request) -> Response:
    """Return figures in Prometheus' text format; a source never measured has no line."""
    return await run_in_threadpool(_metrics)


class Guard:
    """ASGI middleware that asks for a token before our metrics and Streamlit's own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request for metrics without the token."""
        answer = self.app
        if scope["type"] == "http" and scope["path"] in GUARDED:
            authorization = Headers(scope=scope).get("authorization", "")
            answer = self.app if access.trusted(authorization, current_settings()) else REFUSAL
        await answer(scope, receive, send)


def _ready() -> Response:
    try:
        with probe_transaction() as page:
            figures.require_tables(page.connection)
    except (FleetmeterError, SQLAlchemyError) as error:
        may_tell = isinstance(error, FleetmeterError) and not current_settings().sign_in
        sentence = str(error) if may_tell else "the database cannot be read"
        return PlainTextResponse(f"not ready: {sentence}\n", status_code=503)
    return PlainTextResponse("ready\n")


def _metrics() -> Response:
    body = figures.current_figures(probe_transaction())
    return Response(body + latency.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
