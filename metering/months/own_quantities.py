"""Usage of the platform's own meters in a month: its days together with their adjustments."""

from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.own_meters import LARGEST_NAMES
from metering.catalogue.sources import quoted

# Quantities of a meter with max say that it was at least so large: a reversed one says nothing any more, and
# its reversal neither. Of the adjustments `x` that are billed with the month that they were posted to.
_REVERSED = """(x.reverses IS NOT NULL OR EXISTS (SELECT FROM adjustments r
    WHERE r.project_id = x.project_id AND r.reverses = x.id AND r.amount IS NULL))"""
IS_OWN = f"x.meter NOT IN {quoted(COUNTER_NAMES)}"

# SQL of an aggregate over adjustments `x`: an array with a cell of `meters` for each; NULL for none.
ADJUSTMENTS = f"""array_agg(jsonb_build_object(x.meter, x.quantity)) FILTER (WHERE x.amount IS NULL
    AND {IS_OWN} AND NOT (x.meter = ANY ({LARGEST_NAMES}) AND {_REVERSED}))"""


def with_adjustments(days: str, adjustments: str) -> str:
    """Return SQL of a month's own meters: the cell `days` (NULL: no days) with the array `adjustments`."""
    none = "jsonb_build_object()"
    return f"""CASE WHEN {adjustments} IS NULL THEN coalesce({days}, {none})
        ELSE fleetmeter_meters(coalesce({days}, {none}) || {adjustments}) END"""


def total(meter: str, largest: frozenset[str], *quantities: int) -> int:
    """Return the quantities of a meter as one: the largest if `meter` is one of `largest`, else the sum."""
    return max(quantities) if meter in largest else sum(quantities)
