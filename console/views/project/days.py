"""A project's days: charted, listed, hour by hour, and how well each was measured."""

from collections.abc import Sequence
from datetime import date
from functools import partial

import streamlit as st

from console import address
from console.data.queries.rows import Row
from console.ui import escape, format, room
from console.ui.charts import drawing
from console.ui.charts import notes as chart_notes
from console.ui.charts.meter import MeterSeries, figure
from console.ui.states import LEGEND
from console.ui.table import Column, table
from console.views.project import hours, quality
from metering.catalogue.meters import METERS, Counter, Gauge
from metering.catalogue.sources import SOURCE_LABELS

RANGES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year"}
DAYS = (Column("date", "Day", "date"), *(Column(m.name, m.label, m.unit) for m in METERS.values()))
TAB = "tab"  # the key of the tabs, and their name in the address
TABS = {"chart": "Chart", "table": "Table", "hours": hours.TITLE, "coverage": "Coverage"}
COVERAGE = (
    Column("date", "Day", "date"),
    *(Column(source, label) for source, label in SOURCE_LABELS.items()),
)


def render(
    project: Row,
    trend: Sequence[Row],
    unusual: Sequence[Row],
    used: Sequence[Row],
    running: Row | None,
    notes: Sequence[Row],
) -> None:
    """Render a meter by day, with table, unusual days and `notes`; `running` is the running day."""
    with room.controls("project"):
        st.subheader("By day", anchor=False, width="stretch")
        st.session_state.setdefault("meter", "mqtt_inbound")
        st.session_state.setdefault("days", "30")
        name = st.selectbox(
            "Meter", list(METERS), format_func=lambda key: METERS[key].label, key="meter", width=220
        )
        span = st.segmented_control(
            "Range", list(RANGES), format_func=RANGES.__getitem__, key="days", required=True
        )
    address.write("meter", str(name))
    address.write("days", str(span))
    _say_missing(project, trend)
    chart, rows, by_hour, coverage = st.tabs(
        list(TABS.values()),
        key=TAB,
        on_change="rerun",
        default=hours.TITLE if "day" in st.query_params else None,
    )
    address.write(TAB, next((key for key, title in TABS.items() if title == st.session_state.get(TAB)), None))
    with chart:
        _chart(project, trend, METERS[str(name)], unusual, used, running, notes)
    with rows:
        table(trend[::-1], DAYS, "project-days", "Every meter by day, newest first")
    with by_hour:
        is_open = st.session_state.get(TAB) == hours.TITLE
        hours.render(project["id"], trend[0]["date"], trend[-1]["date"], str(name), is_open)
    with coverage:
        table(
            [_covered(row, project) for row in trend[::-1]], COVERAGE, "project-coverage", "Coverage by day"
        )
        st.caption(LEGEND)


def tab(raw: str) -> str:
    """Return the title of the tab that the address calls `raw`. Raises ValueError."""
    if raw not in TABS:
        raise ValueError(raw)
    return TABS[raw]


def _chart(
    project: Row,
    trend: Sequence[Row],
    meter: Counter | Gauge,
    unusual: Sequence[Row],
    used: Sequence[Row],
    running: Row | None,
    notes: Sequence[Row],
) -> None:
    if all(row["coverage"] is None for row in trend):
        st.info("No day of this range is sealed for this project. A day is sealed after midnight UTC.")
        return
    rows = [*trend, running] if running is not None else trend
    series = MeterSeries(
        meter.label,
        meter.unit,
        "day",
        [str(row["date"]) for row in rows],
        [row[meter.name] for row in rows],
        running=running is not None,
        limit=_level(meter, used),
        unusual={str(row["date"]): row["reason"] for row in unusual if row["meter"] == meter.name},
        quality=quality.words(trend, meter, partial(_expected, project=project)),
    )
    chart = figure(series, f"{project['id']} {meter.name} {len(trend)}")
    chart_notes.annotate(chart, notes, rows[0]["date"], rows[-1]["date"], "day")
    chart_notes.deployments(chart, {str(row["date"]): row["deployments"] for row in rows}, "day")
    alt = f"{meter.label} by day; a gap is a missing or unknown day; a click on a day opens its hours"
    drawing.show(chart, "project-trend", alt, ("points",), on_select=_open_hours)
    for row in unusual:
        if row["meter"] == meter.name:
            st.caption(f":orange[:material/warning:] {row['date']}: {escape.markdown(row['reason'], 200)}")


def _open_hours(selection: drawing.Selection) -> None:
    """Open the hours of the day that was clicked."""
    if selection.x is not None:
        st.session_state["day"] = date.fromisoformat(selection.x[:10])
        st.session_state[TAB] = hours.TITLE


def _level(meter: Counter | Gauge, used: Sequence[Row]) -> int | None:
    """Return the allowance of a gauge; a counter's is a month's, which the Limits page shows."""
    if not isinstance(meter, Gauge):
        return None
    return next((row["included"] for row in used if row["meter"] == meter.name), None)


def missing(project: Row, trend: Sequence[Row]) -> list[date]:
    """Return the days of `trend` that should be sealed and are not."""
    return [row["date"] for row in trend if row["coverage"] is None and _expected(row["date"], project)]


def _say_missing(project: Row, trend: Sequence[Row]) -> None:
    dates = missing(project, trend)
    if dates:
        st.warning(
            f"{format.many(len(dates), 'day')} missing, shown as gaps: "
            + ", ".join(str(day) for day in dates[:5])
            + (" …" if len(dates) > 5 else ""),
            icon=":material/event_busy:",
        )


def _expected(day: date, project: Row) -> bool:
    since, until = project["expected_from"], project["deactivated_at"]
    begun = since is not None and day >= since.date()
    return begun and (project["is_active"] or (until is not None and day <= until.date()))


def _covered(row: Row, project: Row) -> Row:
    if row["coverage"] is None:
        state = "○ not sealed" if _expected(row["date"], project) else "– not expected"
        return {"date": row["date"], **dict.fromkeys(SOURCE_LABELS, state)}
    return {
        "date": row["date"],
        **{source: quality.state(row["coverage"].get(source, {})) for source in SOURCE_LABELS},
    }
