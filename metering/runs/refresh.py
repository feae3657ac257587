"""Read every source into the ledger: the work of job `hourly`."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from metering.ledger.partitions import ensure_partitions
from metering.runs.context import Context
from metering.runs.sources import Failure, Reading, RowSource, Source


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
    """Count the platform's rows once more before days are sealed; failures are recorded."""
    record_failures(
        context,
        rows.refresh(context.settings, context.engine, context.at, context.project_id, sealing=True),
    )


def record_failures(context: Context, reading: Reading) -> None:
    """Record what was not read: the source as a whole, or each project."""
    failures: list[tuple[int | None, Failure]] = list(reading.failures.items())
    if reading.problem:
        failures.insert(0, (None, reading.problem))
    for project, failure in failures:
        context.fail(project, f"{reading.source}: {failure}", failure.retryable, reading.source)


def _read(context: Context, source: Source) -> Reading:
    with context.isolated_engine() if source.calls_out else nullcontext(context.engine) as engine:
        progress = context.progress_of(source.name)
        return source.refresh(
            context.settings, engine, context.at, context.project_id, progress, context.again
        )
