"""Project a running month to its end: one assumption for spend and limits.

Usage goes on at its average rate so far; a gauge stays at its level. Rates are per metered hour: the hours
of days on which the project was off are left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from decimal import ROUND_CEILING, Decimal

from metering.catalogue.history import DAYS_OFF
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.pricing.rating import Span

LEAST_KNOWN = 24  # metered hours of the month, before which nothing is projected

# Of `projects p`: `since` and `until` bound the metered part of the month, `elapsed` are its hours until
# `:at`, `remaining` those from then on. Takes `:start`, `:end`, `:at`, `:today`. OFFSET 0: once a row.
METERED_HOURS = f"""(SELECT metered.since, metered.until,
        extract(epoch FROM least(:at, metered.until) - metered.since) / 3600
            - 24 * {DAYS_OFF.format(first="metered.since::date", until=":today")} AS elapsed,
        extract(epoch FROM metered.until - greatest(:at, metered.since)) / 3600 AS remaining
    FROM (SELECT greatest(:start, {METERED_FROM}) AS since, least(:end, {METERED_UNTIL}) AS until) metered
    OFFSET 0)"""

# Hours from `:at` in which `{counted}` grows by `{more}` at its rate; NULL where nothing is projected.
HOURS_TO = f"""CASE WHEN {{counted}} > 0 AND {{elapsed}} >= {LEAST_KNOWN}
    THEN {{more}} * {{elapsed}} / {{counted}} END"""


def to_month_end(spans: Sequence[Span], remaining: Decimal) -> list[Span]:
    """Return the spans so far with the days after the running one added to the last; `remaining` in hours."""
    *earlier, last = spans
    days = max(int((remaining / 24).to_integral_value(ROUND_CEILING)) - 1, 0)
    return [*earlier, replace(last, days=last.days + days)]


def rest(usage: int, elapsed: Decimal, remaining: Decimal) -> int:
    """Return the usage that the remaining hours add to `usage` in the elapsed ones, in whole units."""
    return int(usage * (max(remaining, Decimal(0)) / elapsed))
