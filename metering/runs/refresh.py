"""Read every source into the ledger: the work of job `hourly`."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError

from metering.db.engine import describe_error, is_away, is_passing
from metering.errors import DatabaseUnavailable
from metering.ledger.partitions import ensure_partitions
from metering.runs.context import Context
from metering.runs.heartbeat import ShutdownRequested
from metering.runs.lease import LeaseLost
from metering.runs.sources import Failure, RowSource, Source, SourceResult

LOG = structlog.get_logger("runs")


def run(context: Context, sources: Iterable[Source]) -> dict[str, Any]:
    """Read every source, or those of argument `sources`; one that fails does not stop the others."""
    sentences: dict[str, Any] = {}
    only = context.arguments.get("sources")
    for source in sources:
        if only is None or source.name in only:
            sentences[source.name] = _read_isolated(context, source)
    ensure_partitions(context.engine, context.at)
    return {"sources": sentences}


def count_rows(context: Context, rows: RowSource) -> None:
    """Count the platform's rows once more before days are sealed; failures are recorded."""
    reading = rows.refresh(
        context.settings,
        context.engine,
        context.at,
        context.project_id,
        read_at=context.read_at,
        sealing=True,
    )
    record_failures(context, reading)


def record_failures(context: Context, reading: SourceResult) -> None:
    """Record the failures of a reading: of the source as a whole, or of each project."""
    failures: list[tuple[int | None, Failure]] = list(reading.failures.items())
    if reading.problem:
        failures.insert(0, (None, reading.problem))
    for project, failure in failures:
        reason = f"{reading.source}: {failure}"
        context.fail(project, reason, failure.retryable, reading.source, failure.kind)


def _read_isolated(context: Context, source: Source) -> str:
    """Read one source; return the sentence of its result, also when it fails in an unexpected way."""
    try:
        reading = _read(context, source)
    except (DatabaseUnavailable, LeaseLost, ShutdownRequested):
        raise
    except Exception as error:
        database_error = error if isinstance(error, DBAPIError) else None
        if database_error and is_away(database_error):
            raise
        sentence = f"{source.name}: {describe_error(error)}"
        passing = database_error is not None and is_passing(database_error)
        context.fail(None, sentence, passing, source.name)
        LOG.warning("source.failed", source=source.name, exc_info=None if database_error else error)
        return sentence
    context.throttles += reading.throttles
    record_failures(context, reading)
    return reading.sentence


def _read(context: Context, source: Source) -> SourceResult:
    with context.isolated_engine() if source.calls_out else nullcontext(context.engine) as engine:
        progress = context.progress_of(source.name)
        return source.refresh(
            context.settings,
            engine,
            context.at,
            context.project_id,
            progress,
            context.again,
            context.read_at,
        )
