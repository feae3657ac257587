"""Seal every day that is over: the work of job `daily`."""

from typing import Any

from metering.catalogue.periods import Day
from metering.days.seal import seal_through
from metering.errors import SourceUnavailable
from metering.ledger.partitions import ensure_partitions
from metering.runs import refresh
from metering.runs.context import Context
from metering.runs.sources import RowSource


def run(context: Context, rows: RowSource) -> dict[str, Any]:
    """Count open hours once more, then seal every day that is over, and recount late rows."""
    refresh.count_rows(context, rows)
    ensure_partitions(context.engine, context.at)
    last = Day.of(context.at).previous()
    sealed = 0
    for ids in context.chunks("sealing"):
        sealed += context.run_chunk(
            ids, lambda connection, some: seal_through(connection, last, some, context.at)
        )
    return {"through": str(last), "days_sealed": sealed, "late_rows": _recount_late(context, rows)}


def _recount_late(context: Context, rows: RowSource) -> dict[str, int] | None:
    # Days are recounted for every project or not at all: what one run left out would stay out.
    if context.project_id is not None:
        return None
    try:
        recount = rows.recount_late(context.engine, context.at)
    except SourceUnavailable as error:
        context.fail(None, str(error), error.passing)
        return None
    for project, failure in recount.failures.items():
        context.fail(project, f"{rows.name}: {failure}", failure.retryable, rows.name)
    return recount.counts
