"""One incident in full: title, age, cost, history and remedy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from console.data.session import has_role
from console.data.transactions import read_transaction
from console.pages import link
from console.ui import confirm_dialog, escape, format, progress, remedies
from console.ui.table import Column, table
from console.views.alerts import unusual
from metering.alerts import incidents
from metering.alerts.incidents import Incident
from metering.catalogue.periods import Day

HISTORY = (
    Column("at", "When (UTC)", "instant"),
    Column("event", "What happened"),
    Column("what", "To"),
    Column("actor", "Who", "name"),
    Column("note", "Note"),
)
LONGEST = 4_000  # characters of a reason: it ends with the remedy, and is not cut


def render(incident: Incident, at: datetime) -> None:
    """Show the incident with its remedies and history."""
    with st.container(border=True, key="incident"):
        st.subheader(escape.markdown(incident.title, LONGEST), anchor=False)
        st.markdown(_facts(incident, at))
        if reason := incident.detail.get("error"):
            st.markdown(escape.markdown(str(reason), LONGEST))
        for line in _more(incident):
            st.markdown(f"- {escape.markdown(line, LONGEST)}")
        with st.container(horizontal=True, key="incident-actions"):
            remedies.offer(incident, "incident", here="alerts")
            if incident.project_id is not None:
                link("project", "Open the project", project=str(incident.project_id))
        progress.follow("incident")
        if incident.kind == "anomaly" and incident.project_id is not None:
            unusual.render(incident.project_id, incident.detail, Day.of(at).previous().date)
        _history(incident)


def _facts(incident: Incident, at: datetime) -> str:
    end = incident.resolved_at
    colour, state = ("green", "Resolved") if end else COLOURS.get(incident.severity, ("gray", "Open"))
    open_for = f"open for {format.lasting(incident.opened_at, end or at)}"
    parts = [f":{colour}-badge[{state}]", f"{open_for}, since {format.stamp(incident.opened_at)}"]
    if incident.has_cost:
        parts.append(f"costs {escape.markdown(format.money(incident.cost, incident.currency or ''))}")
    if incident.acknowledged_by:
        parts.append(f"acknowledged by {escape.markdown(incident.acknowledged_by)}")
    if incident.note:
        parts.append(f"“{escape.markdown(incident.note, LONGEST)}”")
    return " · ".join(parts)


COLOURS = {"critical": ("red", "Critical"), "warning": ("orange", "Warning")}


def _more(incident: Incident) -> list[str]:
    """Return a line for each entry of a list in the detail: projects with their reasons, owners."""
    first = incident.detail.get("first")
    if incident.kind == "unbilled" and first:
        return [f"project {row['project']}: {row['reason']}" for row in first]
    if incident.kind == "month_blocked" and first:
        return [f"project {project}: {why}" for project, why in first.items()]
    if incident.kind == "project_moved":
        return [f"organization {owner['organization_id']}: {owner}" for owner in incident.detail["owners"]]
    if incident.kind in ("session_lost", "client_id_taken") and incident.detail.get("reason"):
        return [str(incident.detail["reason"])]
    return []


def _history(incident: Incident) -> None:
    with read_transaction() as page:
        entries = incidents.history(page.connection, incident)
    table(entries, HISTORY, "incident-history", "What became of this incident", placeholder="")


def acknowledge_button(waiting: Sequence[Incident], do: Any) -> None:
    """Show the button that acknowledges `waiting`; nothing without the role or without any."""
    if not waiting or not has_role("operator"):
        return
    label = f"Acknowledge {format.many(len(waiting), 'incident')}"
    confirm_dialog.button(label, "acknowledge", ":material/visibility:")

    def explain() -> None:
        for incident in waiting[:5]:
            st.markdown(f"- {escape.markdown(incident.title, LONGEST)}")
        if len(waiting) > 5:
            st.caption(f"and {len(waiting) - 5} more")
        st.text_input("What is being done about it", key="note", max_chars=500)
        st.caption("They stay open until they are resolved; the note is kept with them and in the audit log.")

    confirm_dialog.ask("acknowledge", label, explain, "Acknowledge", do)
