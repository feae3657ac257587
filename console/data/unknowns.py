"""Unknown is not zero: a counter whose source did not look is None, whatever its column says."""

from collections.abc import Mapping
from typing import Any

from console.data.queries.rows import Row
from metering.catalogue.meters import COUNTERS
from metering.catalogue.sources import COUNTER_SOURCES, POLLED_SOURCES

BLIND = ("missing", "not_configured", "not_started")


def day(row: Row) -> dict[str, Any]:
    """A sealed day in which the counters of sources that were blind are None."""
    coverage: Mapping[str, Any] = row["coverage"] or {}
    blind = {source for source, entry in coverage.items() if entry.get("state") in BLIND}
    return {**row, **{meter.name: None for meter in COUNTERS if meter.source in blind}}


def hour(row: Row) -> dict[str, Any]:
    """An hour in which the counters that are counted afterwards are None until they were.

    Messages are added as they come: an hour without any has no mark of having been measured.
    """
    blind_sources = {source.name for source in POLLED_SOURCES} - set(row["measured"])
    blind = [meter for meter in COUNTERS if meter.source in blind_sources]
    return {**row, **{meter.name: None for meter in blind}}


def live(row: Row) -> dict[str, Any]:
    """Running totals in which the counters of sources never measured are None."""
    return {
        **row,
        **{meter.name: None for meter in COUNTERS if row[f"{meter.source}_measured_at"] is None},
    }


def month(row: Row) -> dict[str, Any]:
    """A closed month in which the counters of sources that never looked are None."""
    return {**row, **{meter.name: None for meter in COUNTERS if not row[f"{meter.source}_looked"]}}


def looked(source: str, coverage: str = "coverage") -> str:
    """SQL: whether `source` was looked at on the day whose coverage that is."""
    return f"({coverage}->'{source}'->>'state') NOT IN {BLIND}"


def looked_in_month(bill: str) -> str:
    """SQL columns `<source>_looked`: whether each counter source looked on some day of that bill's month."""
    return ", ".join(
        f"""EXISTS (SELECT FROM daily_stats d WHERE d.project_id = {bill}.project_id
            AND d.date >= make_date({bill}.year, {bill}.month, 1)
            AND d.date < make_date({bill}.year, {bill}.month, 1) + interval '1 month'
            AND {looked(source, "d.coverage")}) AS {source}_looked"""
        for source in COUNTER_SOURCES
    )
