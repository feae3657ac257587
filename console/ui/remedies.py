"""Remedies of incidents: a button that requests a run, or a link to the page for it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

import streamlit as st

from console.actions import ask, retry
from console.data.session import has_role, now
from console.pages import link
from console.ui import confirm_dialog, escape, format, progress
from jobs import queue
from metering.alerts.incidents import Incident
from metering.catalogue.sources import SOURCE_LABELS
from metering.config.oidc import Role
from metering.runs import definitions

# The page on which an incident of that kind is shown, or mended by hand.
PAGES = {
    "limit": "limits",
    "anomaly": "project",
    "source_failed": "health",
    "counter_silent": "health",
    "clock_wrong": "health",
    "drift": "health",
    "snapshot_missing": "snapshots",
    "coverage": "snapshots",
    "job_failed": "jobs",
    "job_late": "jobs",
    "dead_letter": "jobs",
    "worker_lost": "jobs",
    **dict.fromkeys(("month_blocked", "unbilled", "project_moved"), "billing"),
    **dict.fromkeys(("correction_not_applied", "correction_moved"), "billing"),
    **dict.fromkeys(("session_lost", "client_id_taken", "budget"), "billing"),
}
BY_MONTH = ("unbilled", "project_moved", "correction_moved")  # the link to the page names the month
LABELS = {"limits": "See limits", "project": "See the project", "health": "See health"}
LABELS |= {"snapshots": "See snapshots", "jobs": "See jobs", "billing": "See billing"}


@dataclass(frozen=True)
class Remedy:
    """A run that mends an incident: the button's label, the role it needs, and the request."""

    label: str
    explanation: str
    role: Role
    do: Callable[[], int]


def offer(incident: Incident, place: str, here: str = "") -> None:
    """Show the button that mends an open incident, or a link to the page for it.

    `place`: the key of the progress that the page follows. No link to the current page `here`.
    """
    remedy = None if incident.resolved_at else find(incident, now())
    page = PAGES.get(incident.kind)
    if remedy is not None and has_role(remedy.role):
        _button(remedy, incident, place)
    elif page and page != here:
        link(page, LABELS[page], **_query(incident, page))


def _button(remedy: Remedy, incident: Incident, place: str) -> None:
    key = f"remedy-{place}-{incident.id}"
    confirm_dialog.button(remedy.label, key, ":material/build:")

    def explain() -> None:
        st.markdown(escape.markdown(incident.title, 400))
        st.caption(f"{remedy.explanation} Safe to repeat: what is sealed or closed already stays as it is.")

    confirm_dialog.ask(
        key, f"{remedy.label}?", explain, remedy.label, lambda: progress.started(place, [remedy.do()])
    )


def find(incident: Incident, at: datetime) -> Remedy | None:
    """Return the run that may mend an incident; None where no run can."""
    try:
        return REMEDIES[incident.kind](incident, at)
    except KeyError:
        return None


def _backfill(incident: Incident, at: datetime) -> Remedy:
    detail, project = incident.detail, incident.project_id
    first, last = detail["first"], detail["last"]
    days = {"from": first, "to": last}
    return Remedy(
        f"Backfill {format.many(detail['days'], 'day')}",
        f"Recounts and seals what is missing from {first} to {last}.",
        queue.role("backfill"),
        lambda: ask("backfill", f"{first}..{last}", at, project, days),
    )


def _read_source(incident: Incident, at: datetime) -> Remedy:
    source = SOURCE_LABELS[incident.detail["source"]]
    period = definitions.find("hourly").period(at, {})
    return Remedy(
        f"Read {source} now",
        "Reads every source anew" + (" for this project." if incident.project_id else "."),
        queue.role("hourly"),
        lambda: ask("hourly", period, at, incident.project_id),
    )


def _retry(incident: Incident, at: datetime) -> Remedy:
    run, job = incident.detail["run"], incident.detail["job"]
    return Remedy(f"Retry run {run}", f"Asks for job {job} again.", queue.role(job), lambda: retry(run))


REMEDIES: Mapping[str, Callable[[Incident, datetime], Remedy]] = {
    "snapshot_missing": _backfill,
    "source_failed": _read_source,
    "job_failed": _retry,
    "dead_letter": _retry,
}


def _query(incident: Incident, page: str) -> dict[str, str]:
    detail, query = incident.detail, {}
    if incident.project_id is not None and page == "project":
        query["project"] = str(incident.project_id)
    if page == "project" and "meter" in detail:
        query["meter"] = str(detail["meter"])
    if page == "snapshots" and "first" in detail:
        query |= {"from": str(detail["first"]), "to": str(detail["last"])}
    if page == "billing" and "month" in detail and incident.kind in BY_MONTH:
        query["month"] = str(detail["month"])
    return query
