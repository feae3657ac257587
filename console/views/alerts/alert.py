"""What an alert says, in a sentence; and an unusual day beside what was expected."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import streamlit as st

from console.data.transactions import read_transaction
from console.ui import format
from console.ui.charts import drawing
from console.ui.charts.meter import Measured, figure
from console.ui.table import Column, table
from metering.alerts import expected_usage
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Day
from metering.months import owners

BEFORE, AFTER = 35, 7  # days around an unusual one
BAND = (
    Column("date", "Day", "date"),
    Column("actual", "Actual", "count"),
    Column("low", "Expected from", "count"),
    Column("high", "Expected to", "count"),
)
Detail = Mapping[str, Any]


def sentence(kind: str, detail: Detail) -> str:
    """Return the sentence of an alert's kind and detail; of an unknown kind, the detail as it is."""
    try:
        return SENTENCES[kind](detail)
    except (KeyError, TypeError, ValueError):  # written by another version: still better than nothing
        return ", ".join(f"{key} {value}" for key, value in detail.items() if value is not None)


def unusual(project_id: int, detail: Detail, until: date) -> None:
    """Show the meter around the unusual day, up to `until`, with the expected band of each day."""
    meter, day = METERS[detail["meter"]], date.fromisoformat(detail["date"])
    first, last = day - timedelta(days=BEFORE), min(day + timedelta(days=AFTER), until)
    with read_transaction() as page:
        days = expected_usage.beside(page.connection, project_id, meter.name, Day(first), Day(last))
    measured = Measured(
        meter.label,
        meter.unit,
        "day",
        [str(one.date) for one in days],
        [one.actual for one in days],
        unusual={str(day): _anomaly(detail)},
        band=([one.low for one in days], [one.high for one in days]),
    )
    alt = f"{meter.label} by day from {first} to {last}, and the band in which each was expected"
    chart, rows = st.tabs(["Chart", "Table"])
    with chart:
        drawing.show(figure(measured, f"{project_id} {meter.name} {day}"), "expected", alt)
    with rows:
        listed = [vars(one) for one in reversed(days)]
        table(listed, BAND, "expected-table", "Each day's usage and what was expected, newest first")


def _limit(detail: Detail) -> str:
    if "meter" not in detail:
        used = f"{detail['used']:,} of {detail['included']:,} {detail['what']}"
        return f"{used} that {detail['organization']}'s tier includes"
    meter = METERS[detail["meter"]]
    used, included = (format.quantity(detail[name], meter.unit) for name in ("used", "included"))
    reached = detail["used"] > detail["included"]
    hard = "hard limit; not enforced: still counting" if reached else "hard limit"
    beyond = hard if detail["limit"] == "hard" else "more is charged"
    return f"{used} of {included} {meter.label} included in {detail['month']}; {beyond}"


def _anomaly(detail: Detail) -> str:
    meter, day = METERS[detail["meter"]], date.fromisoformat(detail["date"])
    actual, low, high = (detail[name] for name in ("actual", "expected_low", "expected_high"))
    usual = f"the usual {format.span(low, high, meter.unit)}"
    bound = high if actual > high else low
    compared = f"{actual / bound:.2g}× {usual}" if bound else f"more than {usual}"
    return f"{format.quantity(actual, meter.unit)} on {day:%a %d %b}, {compared}"


def _days(detail: Detail) -> str:
    return f"{format.many(detail['days'], 'day')} from {detail['first']} to {detail['last']}"


def _coverage(detail: Detail) -> str:
    hours = f", {detail['hours']} of {detail['of']} h measured" if detail.get("of") else ""
    return f"{_days(detail)} not measured whole{hours}"


def _failed(detail: Detail) -> str:
    left = f", {format.many(detail['failures'], 'failure')}" if detail.get("failures") else ""
    return f"Run {detail['run']} for {detail['period']}{left}: {detail['error']}"


def _drift(detail: Detail) -> str:
    return f"Counted {detail['ours']:,}, the broker {detail['theirs']:,}: {detail['drift']:+,}"


SENTENCES: Mapping[str, Callable[[Detail], str]] = {
    "limit": _limit,
    "anomaly": _anomaly,
    "job_failed": _failed,
    "drift": _drift,
    "coverage": _coverage,
    "snapshot_missing": lambda detail: f"{_days(detail)} not sealed",
    "dead_letter": lambda detail: (
        f"Run {detail['run']} gave up after {format.many(detail['attempts'], 'attempt')}: {detail['error']}"
    ),
    "worker_lost": lambda detail: (
        f"Run {detail['run']} lost {format.many(detail['workers_lost'], 'worker')}, last {detail['last']}"
    ),
    "job_late": lambda detail: f"{format.many(detail['waiting'], 'run')} overdue since {detail['since']}",
    "month_blocked": lambda detail: (
        f"{format.many(detail['blocked'], 'project')} not closed by run {detail['run']}, the first: "
        + "; ".join(f"{project}: {why}" for project, why in detail["first"].items())
    ),
    "unbilled": lambda detail: (
        f"{format.many(detail['projects'], 'project')} with usage and no bill, the first: "
        + "; ".join(f"{row['project']}: {row['reason']}" for row in detail["first"])
    ),
    "project_moved": lambda detail: (
        f"Billed to organization {detail['organization_id']}, the days of several owners: "
        f"{owners.describe(detail['owners'])}"
    ),
    "clock_wrong": lambda detail: (
        f"{abs(detail['seconds']):,.0f} s {'ahead of' if detail['seconds'] > 0 else 'behind'} the database's "
        f"clock; seen by: {detail['roles']}"
    ),
    "correction_not_applied": lambda detail: (
        f"{detail['amount']} {detail['currency']} about {detail['usage_date']} is in no bill: "
        f"{detail['month']} is billed in {detail['billed_in']}"
    ),
    "counter_silent": lambda detail: f"{detail['why']}, last seen {detail['last_seen_at']}",
    "client_id_taken": lambda detail: f"Gap {detail['gap']} from {detail['from']} on: {detail['reason']}",
    "session_lost": lambda detail: f"Gap {detail['gap']} from {detail['from']} on: {detail['reason']}",
}
