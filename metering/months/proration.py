"""Usage of a month by tier and plan version, from the tier of each day."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.catalogue.own_meters import LARGEST_NAMES, merged_sql, quantities
from metering.catalogue.periods import Month
from metering.pricing.month_versions import MonthVersions
from metering.pricing.plans import PlanVersion
from metering.pricing.rating import Span

# Columns over daily_stats: the levels on which a gauge is billed. Days without a known level do not count.
PEAKS = columns("max({0}) AS peak_{0}", GAUGE_NAMES)
AVERAGES = columns("round(avg({0}), 4) AS avg_{0}", GAUGE_NAMES)
MERGED = merged_sql().replace("{}", "{{}}")  # for a statement that is formatted

# `part` is the number of the plan version, by the first days of the later ones.
BY_TIER = """
    SELECT d.project_id, d.tier, part.number AS part, count(*) AS days,
        {sums}, {meters} AS meters, {largest} AS largest_meters, {peaks}, {averages}
    FROM {days} d CROSS JOIN LATERAL (SELECT count(*) AS number
        FROM unnest(CAST(:starts AS date[])) AS start (day) WHERE start.day <= d.date) part
    WHERE d.project_id = ANY(:ids) AND d.date BETWEEN :first AND :last
    GROUP BY d.project_id, d.tier, part.number ORDER BY d.project_id, max(d.date)"""


def spans(
    connection: Connection,
    month: Month,
    project_ids: Sequence[int],
    versions: MonthVersions | None = None,
    days: str = "daily_stats",
    at: datetime | None = None,
) -> dict[int, list[Span]]:
    """Return the usage of `month` by tier and plan version, the last ones last: project id -> spans.

    A project that existed for a part of the month has spans for that part only. `versions`: by
    default one version rates the month. `days`: SQL of the days, at the instant `at`.
    """
    by_project: dict[int, list[Span]] = {}
    starts = [] if versions is None else versions.starts
    query = BY_TIER.format(
        days=days,
        sums=columns("sum(d.{0}) AS {0}"),
        meters=merged_sql("d.meters"),
        largest=LARGEST_NAMES,
        peaks=PEAKS,
        averages=AVERAGES,
    )
    parameters = month.bounds() | {
        "ids": list(project_ids),
        "starts": starts,
        "at": at,
        "month_start": month.start,
    }
    for row in connection.execute(text(query), parameters).mappings():
        version = versions.parts[row["part"]][1] if versions is not None and starts else None
        own = None if versions is None or version is versions.last else version
        span = span_of(dict(row), row["tier"], row["days"], month.last.date.day, own)
        by_project.setdefault(row["project_id"], []).append(span)
    return by_project


def span_of(
    row: Mapping[str, Any], tier: str, days: int = 1, of: int = 1, version: PlanVersion | None = None
) -> Span:
    """Return the usage of a row with counters, `peak_<gauge>` and `avg_<gauge>`, as `rating` takes it.

    The row has `meters` of the platform's own, and in `largest_meters` which of them are billed like a level.
    """
    own = quantities(row["meters"])
    return Span(
        tier,
        totals={name: row[name] for name in COUNTER_NAMES} | own,
        peaks={name: row[f"peak_{name}"] for name in GAUGE_NAMES} | own,
        averages={name: row[f"avg_{name}"] for name in GAUGE_NAMES},
        days=days,
        of=of,
        version=version,
        largest=frozenset(row["largest_meters"]),
    )


def with_adjustments(spans: Sequence[Span], totals: Mapping[str, Any]) -> list[Span]:
    """Return the spans with the adjustments in `totals` added to the last one."""
    *earlier, last = spans
    own_totals = quantities(totals["meters"])
    every = {name: totals[name] for name in COUNTER_NAMES} | own_totals
    own = {name: total - sum(span.totals.get(name) or 0 for span in earlier) for name, total in every.items()}
    peaks = {name: level for name, level in own_totals.items() if _is_raised(name, level, spans)}
    return [*earlier, replace(last, totals=own, peaks={**last.peaks, **peaks})]


def _is_raised(name: str, level: int, spans: Sequence[Span]) -> bool:
    """Return whether an adjustment made a meter with max larger than on any day."""
    return name in spans[-1].largest and all((span.peaks.get(name) or 0) < level for span in spans)
