"""Unknown is not zero: a counter whose source did not look is None, whatever its column says."""

from collections.abc import Mapping
from typing import Any

from console.data.queries.rows import Row
from metering.catalogue.meters import COUNTERS
from metering.catalogue.sources import COUNTER_SOURCES, POLLED_SOURCES

BLIND = ("missing", "not_configured", "not_started")


def day(row: Row) -> dict[str, Any]:
    """Return a sealed day with None for counters of sources that were blind."""
    coverage: Mapping[str, Any] = row["coverage"] or {}
    blind = {source for source, entry in coverage.items() if entry.get("state") in BLIND}
    return {**row, **{meter.name: None for meter in COUNTERS if meter.source in blind}}


def hour(row: Row) -> dict[str, Any]:
    """Return an hour with None for counters that are counted later.

    Messages are added as they come: an hour without any has no mark of having been measured.
    """
    blind_sources = {source.name for source in POLLED_SOURCES} - set(row["measured"])
    blind = [meter for meter in COUNTERS if meter.source in blind_sources]
    return {**row, **{meter.name: None for meter in blind}}


def live(row: Row) -> dict[str, Any]:
    """Return running totals with None for counters of sources never measured."""
    return {
        **row,
        **{meter.name: None for meter in COUNTERS if row[f"{meter.source}_measured_at"] is None},
    }


def month(row: Row) -> dict[str, Any]:
    """Return a closed month with None for counters of sources that were never measured in it."""
    return {**row, **{meter.name: None for meter in COUNTERS if not row[f"{meter.source}_looked"]}}


def looked(source: str, coverage: str = "coverage") -> str:
    """Return SQL: whether `source` was measured on the day of that coverage."""
    return f"({coverage}->'{source}'->>'state') NOT IN {BLIND}"


def looked_in_month(bill: str) -> str:
    """Return SQL columns `<source>_looked`: whether each counter source was measured in the bill's month."""
    return ", ".join(
        f"""EXISTS (SELECT FROM daily_stats d WHERE d.project_id = {bill}.project_id
            AND d.date >= make_date({bill}.year, {bill}.month, 1)
            AND d.date < make_date({bill}.year, {bill}.month, 1) + interval '1 month'
            AND {looked(source, "d.coverage")}) AS {source}_looked"""
        for source in COUNTER_SOURCES
    )
