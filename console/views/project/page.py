"""Project: the usage of one project, now and before."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import streamlit as st

from console import address
from console.data import limits
from console.data.cache import cached
from console.data.queries import projects, runs
from console.data.queries.rows import Row
from console.data.session import current_scope
from console.data.transactions import read_transaction, read_transaction_as
from console.data.views import annotations
from console.ui import escape, links, notes
from console.ui.page_header import head, loading
from console.ui.progress import line
from console.ui.table import Column, table
from console.views.limits import of_project
from console.views.project import attention, choice, days, devices, running_day
from console.views.project.live import live_totals
from metering.catalogue.meters import COUNTERS, GAUGES, METERS
from metering.catalogue.periods import Day
from metering.db.scope import Scope
from metering.running.burn_down import LimitsQuery

MONTHS = (
    Column("label", "Month", narrow="title", link=lambda row: links.month(row["label"])),
    Column("total_charge", "Charge", "money"),
    Column("currency", "Currency"),
    Column("tier", "Tier"),
    Column("days_present", "Days sealed", "count"),
    Column("days_expected", "Days expected", "count"),
    *(Column(meter.name, meter.label, meter.unit) for meter in COUNTERS),
    *(Column(f"peak_{gauge.name}", f"{gauge.label}, peak", gauge.unit) for gauge in GAUGES),
)


@dataclass(frozen=True)
class ProjectData:
    """A project as of `at`: its days, unusual days, allowances, months and runs.

    `running` is the running day; `notes` are about the project, its owner and the fleet in these days.
    """

    at: datetime
    trend: list[Row]
    unusual: list[Row]
    used: list[Row]
    months: list[Row]
    recent: list[Row]
    running: Row | None
    notes: list[Row]


@cached
def query(scope: Scope, project_id: int, span: int) -> ProjectData:
    """Return a project's data over the last `span` days, without its live totals."""
    late = limits.behind(scope)
    with read_transaction_as(scope) as page:
        last = Day.of(page.at).previous()
        first = Day(last.date - timedelta(days=span - 1))
        project = projects.find(page.connection, project_id) or {"is_active": False, "organization_id": 0}
        return ProjectData(
            page.at,
            projects.trend(page.connection, project_id, first, last),
            projects.anomalies(page.connection, project_id, first, last),
            limits.read(page, late, LimitsQuery(project=project_id)),
            projects.months(page.connection, project_id),
            runs.of_project(page.connection, project_id),
            running_day.read(page.connection, project_id, Day.of(page.at)) if project["is_active"] else None,
            annotations.read(
                page.connection,
                first.date,
                Day.of(page.at).date,
                (project["organization_id"],),
                (project_id,),
            ),
        )


def show() -> None:
    """Show the page."""
    choice.parse()
    address.parse("days", address.one_of(tuple(days.RANGES)), "one of 7, 30, 90, 365 days")
    address.parse("meter", address.one_of(tuple(METERS)), "a meter")
    address.parse("day", date.fromisoformat, "a day like 2026-11-24")
    address.parse(days.TAB, days.tab, "one of chart, table, hours, coverage")
    span = int(st.session_state.get("days") or 30)
    as_of = head("Project")
    with loading():
        options = choice.offered(current_scope())
        with read_transaction() as page:
            project = choice.find(page.connection, options)
        figures = query(current_scope(), project["id"], span) if project else None
    as_of(figures.at if figures else page.at)
    choice.render(options, project)
    if project is None or figures is None:
        return
    _title(project)
    attention.render(project, figures.used, figures.trend, days.missing(project, figures.trend))
    live_totals(project["id"], project["is_active"])
    of_project.render(figures.used)
    notes.offer(
        figures.notes,
        Day.of(figures.at).date,
        (project["organization_id"], project["organization"]),
        (project["id"], project["name"]),
    )
    days.render(project, figures.trend, figures.unusual, figures.used, figures.running, figures.notes)
    today = Day.of(figures.at).date
    devices.render(current_scope(), project["id"], today - timedelta(days=span), today)
    _months(figures.months)
    _runs(figures.recent)


def _title(project: Row) -> None:
    customer = links.organization(project["organization_id"])
    st.html(
        f"<h2 style='margin:0;overflow-wrap:anywhere'>{escape.html(project['name'])}</h2>"
        f"<div style='opacity:.85'>{links.anchor(customer, escape.html(project['organization']))} ·"
        f" {escape.html(project['tier'])} tier · project {project['id']}"
        f" since {project['created_at']:%Y-%m-%d}</div>"
    )


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
