"""An unusual day beside the expected range of it and of the days around it."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import streamlit as st

from console.data.transactions import read_transaction
from console.ui import escape
from console.ui.charts import drawing
from console.ui.charts.meter import MeterSeries, figure
from console.ui.table import Column, table
from metering.alerts import expected_usage, sentences
from metering.catalogue.meters import METERS, label_of
from metering.catalogue.periods import Day

BEFORE, AFTER = 35, 7  # days around an unusual one
BAND = (
    Column("date", "Day", "date"),
    Column("actual", "Actual", "count"),
    Column("low", "Expected from", "count"),
    Column("high", "Expected to", "count"),
)


def render(project_id: int, detail: Mapping[str, Any], until: date) -> None:
    """Show the unusual meters of a day, and one of them by day up to `until` with its expected range."""
    day = date.fromisoformat(detail["date"])
    parts = {part["meter"]: part for part in detail.get("meters") or [detail]}
    for part in parts.values():
        sentence = f"{label_of(part['meter'])}: {sentences.describe_unusual(part, day)}"
        st.markdown(f"- {escape.markdown(sentence, 200)}")
    meters = [meter for meter in parts if meter in METERS]
    if not meters:
        return
    meter = st.selectbox("Compare with expected range", meters, format_func=label_of, key="unusual")
    _chart(project_id, parts[meter], day, until)


def _chart(project_id: int, part: Mapping[str, Any], day: date, until: date) -> None:
    meter = METERS[part["meter"]]
    first, last = day - timedelta(days=BEFORE), min(day + timedelta(days=AFTER), until)
    with read_transaction() as page:
        days = expected_usage.expectations(page.connection, project_id, meter.name, Day(first), Day(last))
    series = MeterSeries(
        meter.label,
        meter.unit,
        "day",
        [str(one.date) for one in days],
        [one.actual for one in days],
        unusual={str(day): sentences.describe_unusual(part, day)},
        band=([one.low for one in days], [one.high for one in days]),
    )
    alt = f"{meter.label} by day from {first} to {last}, and the band in which each was expected"
    chart, rows = st.tabs(["Chart", "Table"])
    with chart:
        drawing.show(figure(series, f"{project_id} {meter.name} {day}"), "expected", alt)
    with rows:
        listed = [vars(one) for one in reversed(days)]
        table(listed, BAND, "expected-table", "Each day's usage and what was expected, newest first")
