"""A month under several tiers: the usage of each, from the tier that every sealed day carries."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.catalogue.periods import Month
from metering.pricing.rating import Span

# Of daily_stats: what a gauge's month is billed on. Days on which it was not known do not count.
PEAKS = columns("max({0}) AS peak_{0}", GAUGE_NAMES)
AVERAGES = columns("round(avg({0}), 4) AS avg_{0}", GAUGE_NAMES)

BY_TIER = text(f"""
    SELECT project_id, tier, count(*) AS days, {columns("sum({0})::bigint AS {0}")}, {PEAKS}, {AVERAGES}
    FROM daily_stats WHERE project_id = ANY(:ids) AND date BETWEEN :first AND :last
    GROUP BY project_id, tier ORDER BY project_id, max(date)""")


def spans(connection: Connection, month: Month, project_ids: Sequence[int]) -> dict[int, list[Span]]:
    """Usage of `month` by the tier in force on its days, the last tier last: project id -> spans.

    A project that was there for a part of the month only has spans for that part.
    """
    found: dict[int, list[Span]] = {}
    for row in connection.execute(BY_TIER, month.bounds() | {"ids": list(project_ids)}).mappings():
        span = span_of(dict(row), row["tier"], row["days"], month.last.date.day)
        found.setdefault(row["project_id"], []).append(span)
    return found


def span_of(row: Mapping[str, Any], tier: str, days: int = 1, of: int = 1) -> Span:
    """The usage of a row with counters, `peak_<gauge>` and `avg_<gauge>`, as `rating` takes it."""
    return Span(
        tier,
        totals={name: row[name] for name in COUNTER_NAMES},
        peaks={name: row[f"peak_{name}"] for name in GAUGE_NAMES},
        averages={name: row[f"avg_{name}"] for name in GAUGE_NAMES},
        days=days,
        of=of,
    )


def with_adjustments(spans: Sequence[Span], totals: Mapping[str, Any]) -> list[Span]:
    """The spans, what `totals` has more than their days added to the last tier's."""
    *earlier, last = spans
    own = {name: totals[name] - sum(span.totals[name] or 0 for span in earlier) for name in COUNTER_NAMES}
    return [*earlier, Span(last.tier, own, last.peaks, last.averages, last.days, last.of)]
