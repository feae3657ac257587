"""Project: what one project uses, now and before."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy import Connection

from console import address, figures, names, trouble
from console.components import charts
from console.components.head import head
from console.components.progress import line
from console.components.tables import Column, table
from console.queries import projects, runs
from console.queries.problems import SOURCE_NAMES
from console.queries.rows import Row
from console.reading import reading
from metering.meters import COUNTERS, GAUGES, METERS, Counter, Gauge
from metering.periods import Day

RANGES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year"}
MONTHS = (
    Column("label", "Month"),
    Column("total_charge", "Charge", "money"),
    Column("currency", "Currency"),
    Column("tier", "Tier"),
    Column("coverage", "Days sealed"),
    *(Column(meter.name, meter.label, meter.unit) for meter in COUNTERS),
    *(Column(f"peak_{gauge.name}", f"{gauge.label}, peak", gauge.unit) for gauge in GAUGES),
)


def show() -> None:
    """The page."""
    address.read("project", _identifier, "the id of a project")
    address.read("days", address.one_of(tuple(RANGES)), "one of 7, 30, 90, 365 days")
    address.read("meter", address.one_of(tuple(METERS)), "a meter")
    span = int(st.session_state.get("days") or 30)
    with reading() as page:
        last = Day.of(page.at).previous()
        first = Day(last.date - timedelta(days=span - 1))
        options = projects.matches(page.connection, st.session_state.get("words") or "")
        project = _chosen(page.connection, options)
        if project is not None:
            trend = projects.trend(page.connection, project["id"], first, last)
            months = projects.months(page.connection, project["id"])
            recent = runs.of_project(page.connection, project["id"])
    head("Project", page.at)
    _choose(options, project)
    if project is None:
        return
    _title(project)
    _now(project["id"])
    _trend(project, trend, page.at)
    _months(months)
    _runs(recent)


def _identifier(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and len(raw) < 20):
        raise ValueError(raw)
    return int(raw)


def _chosen(connection: Connection, options: Sequence[Row]) -> Row | None:
    wanted = st.session_state.get("project")
    found = projects.find(connection, wanted) if wanted else None
    if wanted and found is None:
        address.refuse("project", str(wanted), "the id of a project that exists")
        st.session_state.pop("project", None)
    if found is None and options:
        found = projects.find(connection, options[0]["id"])
    return found


def _choose(options: Sequence[Row], project: Row | None) -> None:
    labels = {row["id"]: _label(row) for row in options}
    if project is not None:
        labels.setdefault(project["id"], _label(project))
        st.session_state["project"] = project["id"]
    search, select = st.columns([1, 2], vertical_alignment="bottom")
    search.text_input(
        "Find",
        key="words",
        placeholder="Part of a name or organization, or an id",
        icon=":material/search:",
        on_change=_first_match,
        max_chars=200,
    )
    if not labels:
        words = st.session_state.get("words")
        st.info(
            f"No project matches {names.markdown(words, 60)}. Search for a shorter part of the name."
            if words
            else "The platform has no project yet. Once it has, it is listed here at once."
        )
        return
    chosen = select.selectbox(
        "Project", list(labels), format_func=lambda identifier: labels[identifier], key="project"
    )
    address.write("project", str(chosen))


def _first_match() -> None:
    st.session_state.pop("project", None)
    st.session_state["address-project"] = st.query_params.get("project")
    st.query_params.pop("project", None)
    st.session_state["address-project"] = None


def _label(row: Row) -> str:
    off = "" if row["is_active"] else " (inactive)"
    return f"{names.project(row['id'], row['name'])} · {names.short(row['organization'], 40)}{off}"


def _title(project: Row) -> None:
    st.html(
        f"<h2 style='margin:0;overflow-wrap:anywhere'>{names.html(project['name'])}</h2>"
        f"<div style='opacity:.75'>{names.html(project['organization'])} · {names.html(project['tier'])} tier"
        f" · project {project['id']} since {project['created_at']:%Y-%m-%d}</div>"
    )
    if not project["is_active"]:
        since = project["deactivated_at"]
        when = f" since {since:%Y-%m-%d}" if since else ""
        st.badge(f"Inactive{when}", icon=":material/pause_circle:", color="gray")


@st.fragment(run_every=2)
@trouble.guarded
def _now(project_id: int) -> None:
    with reading() as page:
        live = projects.live(page.connection, project_id)
    st.subheader("Running month, live", anchor=False)
    if live is None:
        st.info(
            "Nothing was counted for this project yet: no message, and no hourly refresh since it exists."
        )
        return
    grid = st.grid("auto", min_column_width=140, key="live")
    for meter in COUNTERS:
        grid.metric(meter.label, _short(live[meter.name], meter), border=True, help=_exact(live, meter))
    st.caption(
        f"Days not yet closed, from {figures.stamp(live['open_from'])} still open; {_measured(live, page.at)}"
    )
    levels = st.grid("auto", min_column_width=140, key="levels")
    for gauge in GAUGES:
        levels.metric(gauge.label, _short(live[gauge.live], gauge), border=True)


def _short(value: int | None, meter: Counter | Gauge) -> str:
    if meter.unit == "bytes":
        return figures.size(value)
    return figures.count(value) if value is None or value < 10_000_000 else figures.compact(value)


def _exact(live: Row, meter: Counter) -> str:
    unit = " bytes" if meter.unit == "bytes" else ""
    closed = figures.count(live["lifetime_" + meter.name])
    return f"{figures.count(live[meter.name])}{unit} in the running month; {closed}{unit} in closed months"


def _measured(live: Row, at: datetime) -> str:
    ages = (
        f"{name} {figures.age(live[f'{source}_measured_at'], at)}" for source, name in SOURCE_NAMES.items()
    )
    return "last measured: " + ", ".join(ages)


def _trend(project: Row, trend: Sequence[Row], at: datetime) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.subheader("By day", anchor=False, width="stretch")
        st.session_state.setdefault("meter", "mqtt_inbound")
        name = st.selectbox(
            "Meter", list(METERS), format_func=lambda key: METERS[key].label, key="meter", width=220
        )
        st.session_state.setdefault("days", "30")
        span = st.segmented_control(
            "Range", list(RANGES), format_func=RANGES.__getitem__, key="days", required=True
        )
    address.write("meter", str(name))
    address.write("days", str(span))
    meter = METERS[str(name)]
    expected = [
        row for row in trend if project["expected_from"] and row["date"] >= project["expected_from"].date()
    ]
    missing = [row for row in expected if row["coverage"] is None and _over(row, project)]
    if missing:
        st.warning(
            f"{figures.many(len(missing), 'day')} missing, shown as gaps: "
            + ", ".join(f"{row['date']}" for row in missing[:5])
            + (" …" if len(missing) > 5 else ""),
            icon=":material/event_busy:",
        )
    chart, rows = st.tabs(["Chart", "Table"])
    with chart:
        if all(row["coverage"] is None for row in trend):
            st.info("No day of this range is sealed for this project. A day is sealed after midnight UTC.")
        else:
            charts.explore(
                [row["date"] for row in trend],
                [row[meter.name] for row in trend],
                meter.label,
                meter.unit,
                f"{meter.label} by day; a gap is a missing or unknown day",
                "project-trend",
            )
    with rows:
        table(
            trend[::-1],
            (Column("date", "Day", "date"), *(Column(m.name, m.label, m.unit) for m in METERS.values())),
            "project-days",
            "Every meter by day, newest first",
        )


def _over(row: Row, project: Row) -> bool:
    until = project["deactivated_at"]
    return project["is_active"] or (until is not None and row["date"] <= until.date())


def _months(months: Sequence[Row]) -> None:
    st.subheader("Closed months", anchor=False)
    if not months:
        st.info("No month is closed yet. The monthly job closes a month on the 1st of the next, 00:00 UTC.")
        return
    labelled = [
        {
            **row,
            "label": f"{row['year']}-{row['month']:02d}",
            "coverage": f"{row['days_present']} of {row['days_expected']}",
        }
        for row in months
    ]
    table(labelled, MONTHS, "project-months", "Closed months, newest first")


def _runs(recent: Sequence[Row]) -> None:
    if recent:
        st.subheader("Recent runs for this project", anchor=False)
        for run in recent:
            line(run)
