"""Unknown is not zero: a counter whose source did not look is None, although its column says 0.

Usage that was counted all the same (by a backend through the library, say) is known, and stays.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from metering.catalogue.meters import COUNTERS
from metering.catalogue.month_sql import is_in_month
from metering.catalogue.sources import COUNTER_SOURCES, POLLED_SOURCES

BLIND = ("missing", "not_configured", "not_started")
Row = Mapping[str, Any]


def day(row: Row) -> dict[str, Any]:
    """Return a sealed day with None for counters of sources that were blind."""
    coverage: Mapping[str, Any] = row["coverage"] or {}
    return _without(row, {source for source, entry in coverage.items() if entry.get("state") in BLIND})


def hour(row: Row) -> dict[str, Any]:
    """Return an hour with None for counters that are counted later.

    Messages are added as they come: an hour without any has no mark of having been measured.
    """
    return _without(row, {source.name for source in POLLED_SOURCES} - set(row["measured"]))


def live(row: Row) -> dict[str, Any]:
    """Return running and lifetime totals with None for counters of sources never measured."""
    blind = {name for name in COUNTER_SOURCES if row[f"{name}_measured_at"] is None}
    return _without(_without(row, blind), blind, "lifetime_")


def month(row: Row) -> dict[str, Any]:
    """Return a closed month with None for counters of sources that were never measured in it."""
    return _without(row, {name for name in COUNTER_SOURCES if not row[f"{name}_measured"]})


def _without(row: Row, blind: Iterable[str], prefix: str = "") -> dict[str, Any]:
    names = [prefix + meter.name for meter in COUNTERS if meter.source in blind]
    return {**row, **dict.fromkeys(name for name in names if not row[name])}


def is_measured(source: str, coverage: str = "coverage") -> str:
    """Return SQL: whether `source` was measured on the day of that coverage."""
    return f"({coverage}->'{source}'->>'state') NOT IN {BLIND}"


def measured_columns(bill: str) -> str:
    """Return SQL columns `<source>_measured`: whether each counter source was measured that month."""
    return ", ".join(
        f"""EXISTS (SELECT FROM daily_stats d WHERE d.project_id = {bill}.project_id
            AND {is_in_month("d.date", bill)}
            AND {is_measured(source, "d.coverage")}) AS {source}_measured"""
        for source in COUNTER_SOURCES
    )
