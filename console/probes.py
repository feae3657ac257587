"""Probes for machines: /healthz is the process, /readyz the database, /metrics for Prometheus.

An unknown path is answered 200 with the index page, so a probe must look at the body. Anybody may ask
the first two. /metrics takes a token where people sign in: behind a proxy of the same machine every
caller comes from loopback, so where one comes from proves nothing.
"""

from collections.abc import Sequence
from datetime import datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from console.data.transactions import probe_transaction
from metering.catalogue.sources import SOURCE_NAMES
from metering.config.settings import current_settings
from metering.errors import FleetmeterError
from metering.probes.access import trusted

# Name -> what it measures, and its label. Dashboards rely on the names.
GAUGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "fleetmeter_up": ("Whether the database answers.", ()),
    "fleetmeter_projects": ("Projects with running totals.", ()),
    "fleetmeter_jobs": ("Job runs that are queued or running.", ("state",)),
    "fleetmeter_job_queue_oldest_seconds": ("Age of the oldest queued run.", ()),
    "fleetmeter_workers": ("Processes seen in the last 30 seconds.", ("role",)),
    "fleetmeter_alerts_open": ("Alerts that are not resolved.", ()),
    "fleetmeter_gaps_open": ("Gaps that block a close: neither covered nor accepted.", ()),
    "fleetmeter_unattributed_messages": (
        "MQTT messages that match no project, of this hour and the one before.",
        ("reason",),
    ),
    "fleetmeter_source_age_seconds": ("Age of the newest measurement of a source.", ("source",)),
}
METRICS = text(f"""
    SELECT 'fleetmeter_projects' AS name, NULL AS label, count(*)::float AS value FROM project_stats
    UNION ALL SELECT 'fleetmeter_jobs', state, count(*) FROM job_runs
        WHERE state IN ('queued', 'running') GROUP BY state
    UNION ALL SELECT 'fleetmeter_job_queue_oldest_seconds', NULL,
        coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM job_runs WHERE state = 'queued'
    UNION ALL SELECT 'fleetmeter_workers', role, count(*) FROM workers
        WHERE last_seen_at > now() - interval '30 seconds' GROUP BY role
    UNION ALL SELECT 'fleetmeter_alerts_open', NULL, count(*) FROM alerts WHERE resolved_at IS NULL
    UNION ALL SELECT 'fleetmeter_gaps_open', NULL, count(*) FROM gaps
        WHERE covered_at IS NULL AND accepted_at IS NULL
    UNION ALL SELECT 'fleetmeter_unattributed_messages', reason, sum(messages) FROM unattributed_messages
        WHERE hour > CAST(:at AS timestamptz) - interval '2 hours' GROUP BY reason
    UNION ALL {
    " UNION ALL ".join(
        f'''SELECT 'fleetmeter_source_age_seconds', '{source}',
        extract(epoch FROM :at - max({source}_measured_at)) FROM project_stats'''
        for source in SOURCE_NAMES
    )
}""")


GUARDED = ("/metrics", "/_stcore/metrics")
REFUSAL = PlainTextResponse(
    "fleetmeter: metrics take `Authorization: Bearer` with FLEETMETER_METRICS_TOKEN\n",
    status_code=401,
    headers={"WWW-Authenticate": "Bearer"},
)


async def healthz(_request: Request) -> Response:
    """Answer that the process runs."""
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """Answer whether the database can be reached and holds our tables."""
    return await run_in_threadpool(_ready)


async def metrics(_request: Request) -> Response:
    """Figures in Prometheus' text format; a source that was never measured has no line."""
    return await run_in_threadpool(_metrics)


class Guard:
    """ASGI middleware: our metrics, and Streamlit's own of its sessions, are for who may have them."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request for metrics without the token."""
        answer = self.app
        if scope["type"] == "http" and scope["path"] in GUARDED:
            authorization = Headers(scope=scope).get("authorization", "")
            answer = self.app if trusted(authorization, current_settings()) else REFUSAL
        await answer(scope, receive, send)


def _ready() -> Response:
    try:
        with probe_transaction() as page:
            page.connection.execute(text("SELECT FROM project_stats LIMIT 1"))
    except (FleetmeterError, SQLAlchemyError) as error:
        may_tell = isinstance(error, FleetmeterError) and not current_settings().sign_in
        sentence = str(error) if may_tell else "the database cannot be read"
        return PlainTextResponse(f"not ready: {sentence}\n", status_code=503)
    return PlainTextResponse("ready\n")


def _metrics() -> Response:
    try:
        with probe_transaction() as page:
            body = exposition(page.connection, page.at)
    except (FleetmeterError, SQLAlchemyError):
        body = _exposition([("fleetmeter_up", None, 0)])
    return Response(body, media_type=CONTENT_TYPE_PLAIN_0_0_4)


def exposition(connection: Connection, at: datetime) -> bytes:
    """Return the figures at `at` in Prometheus' text format; an unknown one has no line."""
    rows = connection.execute(METRICS, {"at": at}).all()
    return _exposition([("fleetmeter_up", None, 1), *((row.name, row.label, row.value) for row in rows)])


def _exposition(figures: Sequence[tuple[str, str | None, float | None]]) -> bytes:
    registry = CollectorRegistry()
    gauges: dict[str, Gauge] = {}
    for name, label, value in figures:
        if value is None:
            continue
        if name not in gauges:
            gauges[name] = Gauge(name, *GAUGES[name], registry=registry)
        (gauges[name] if label is None else gauges[name].labels(label)).set(value)
    return generate_latest(registry)


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
