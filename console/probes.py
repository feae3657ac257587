"""Probes for machines: /healthz is the process, /readyz the database, /metrics for Prometheus.

An unknown path is answered 200 with the index page, so a probe must look at the body.
"""

from datetime import datetime

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from console.reading import reading
from metering.errors import FleetmeterError
from metering.meters import SOURCES

METRICS = text(f"""
    SELECT 'fleetmeter_projects' AS name, '' AS label, count(*)::float AS value FROM project_stats
    UNION ALL SELECT 'fleetmeter_jobs', format('{{state="%s"}}', state), count(*) FROM job_runs
        WHERE state IN ('queued', 'running') GROUP BY state
    UNION ALL SELECT 'fleetmeter_job_queue_oldest_seconds', '',
        coalesce(extract(epoch FROM now() - min(created_at)), 0) FROM job_runs WHERE state = 'queued'
    UNION ALL SELECT 'fleetmeter_workers', format('{{role="%s"}}', role), count(*) FROM workers
        WHERE last_seen_at > now() - interval '30 seconds' GROUP BY role
    UNION ALL SELECT 'fleetmeter_alerts_open', '', count(*) FROM alerts WHERE resolved_at IS NULL
    UNION ALL {
    " UNION ALL ".join(
        f'''SELECT 'fleetmeter_source_age_seconds', '{{source="{source}"}}',
        extract(epoch FROM :at - max({source}_measured_at)) FROM project_stats'''
        for source in SOURCES
    )
}
    ORDER BY name, label""")


async def healthz(_request: Request) -> Response:
    """The process answers."""
    return PlainTextResponse("ok\n")


async def readyz(_request: Request) -> Response:
    """The database answers and holds our tables."""
    return await run_in_threadpool(_ready)


async def metrics(_request: Request) -> Response:
    """Figures in Prometheus' text format; a source that was never measured has no line."""
    return await run_in_threadpool(_metrics)


def _ready() -> Response:
    try:
        with reading() as page:
            page.connection.execute(text("SELECT FROM project_stats LIMIT 1"))
    except (FleetmeterError, SQLAlchemyError) as error:
        sentence = str(error) if isinstance(error, FleetmeterError) else "the database refused a read"
        return PlainTextResponse(f"not ready: {sentence}\n", status_code=503)
    return PlainTextResponse("ready\n")


def _metrics() -> Response:
    try:
        with reading() as page:
            body = exposition(page.connection, page.at)
    except (FleetmeterError, SQLAlchemyError):
        body = "# TYPE fleetmeter_up gauge\nfleetmeter_up 0\n"
    return PlainTextResponse(body, media_type="text/plain; version=0.0.4")


def exposition(connection: Connection, at: datetime) -> str:
    """The figures at `at`, each name with its type."""
    lines = ["# TYPE fleetmeter_up gauge", "fleetmeter_up 1"]
    before = ""
    for name, label, value in connection.execute(METRICS, {"at": at}):
        if value is None:
            continue
        if name != before:
            lines.append(f"# TYPE {name} gauge")
        lines.append(f"{name}{label} {float(value):g}")
        before = name
    return "\n".join(lines) + "\n"


ROUTES = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
