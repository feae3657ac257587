"""Read every source into the ledger: the work of job `hourly`."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from metering.ledger.partitions import ensure_partitions
from metering.runs.context import Context
from metering.runs.sources import Reading, RowSource, Source


def run(context: Context, sources: Iterable[Source]) -> dict[str, Any]:
    """Read every source, or those of argument `sources`; one that fails does not stop the others."""
    sentences: dict[str, Any] = {}
    only = context.arguments.get("sources")
    for source in sources:
        if only is None or source.name in only:
            reading = _read(context, source)
            sentences[reading.source] = reading.sentence
            context.throttles += reading.throttles
            record_failures(context, reading)
    ensure_partitions(context.engine, context.at)
    return {"sources": sentences}


def count_rows(context: Context, rows: RowSource) -> None:
    """Count the platform's rows once more before days are sealed; a failure is recorded."""
    reading = rows.refresh(context.settings, context.engine, context.at, context.project_id, sealing=True)
    if reading.problem:
        context.fail(None, reading.sentence, reading.problem.retryable)


def record_failures(context: Context, reading: Reading) -> None:
    """Record what was not read: once for a source that failed as a whole, else for each project."""
    failures = [(None, reading.problem)] if reading.problem else list(reading.failures.items())
    for project, reason in failures:
        sentence = reading.sentence if project is None else f"{reading.source}: {reason}"
        context.fail(project, sentence, reason.retryable, reading.source)


def _read(context: Context, source: Source) -> Reading:
    with context.isolated_engine() if source.calls_out else nullcontext(context.engine) as engine:
        progress = context.progress_of(source.name)
        return source.refresh(
            context.settings, engine, context.at, context.project_id, progress, context.again
        )
