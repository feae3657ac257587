"""Alerts: the incidents with their age, cost, acknowledgement and remedy."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal

import streamlit as st

from console import address
from console.actions import acknowledge
from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import format, links, room, states
from console.ui.page_header import head, loading
from console.ui.states import StatusLabel
from console.ui.table import Column, table, untick
from console.views.alerts import panel, settings
from metering.alerts import incidents, titles
from metering.alerts.incidents import Incident
from metering.alerts.rules import KINDS
from metering.config.settings import current_settings
from metering.pricing import plans

MOST = 500
BESIDE: Final = 360  # pixels of the table below an incident that is open
SEVERITIES = ("critical", "warning")
ACKNOWLEDGED = {"no": False, "yes": True}


def _address(row: Row) -> str:
    return links.address("alerts", {"incident": row["id"]})


def _project(row: Row) -> str | None:
    return None if row["project_id"] is None else links.project(row["project_id"])


def _organization(row: Row) -> str | None:
    return None if row["organization_id"] is None else links.organization(row["organization_id"])


COLUMNS = (
    Column("id", "Incident", "id", narrow="hidden"),
    Column("look", "Severity", "state", narrow="detail"),
    Column("title", "What", width=560, narrow="title", link=_address),
    Column("age", "Age", narrow="figure"),
    Column("cost", "Cost", narrow="detail"),
    Column("acknowledged_by", "Acknowledged by", "name", narrow="detail"),
    Column("note", "Note", narrow="detail"),
    Column("project", "Project", "name", link=_project, narrow="hidden"),
    Column("organization", "Organization", "name", link=_organization, narrow="hidden"),
    Column("what", "Kind", narrow="hidden"),
    Column("opened_at", "Opened (UTC)", "instant", narrow="hidden"),
    Column("resolved_at", "Resolved (UTC)", "instant", narrow="hidden"),
)
LOOKS = {"critical": states.CRITICAL, "warning": states.WARNING}
RESOLVED = StatusLabel("●", "green", "resolved")


def show() -> None:
    """Show the page."""
    _parse()
    as_of = head("Alerts", renews=True)
    over, filters = _filters()
    with loading(), read_transaction() as page:
        matching = incidents.read(page.connection, over, MOST, **filters)
        offered = plans.load(current_settings().plans)
        listed = incidents.with_costs(page.connection, offered, page.at, matching)
    as_of(page.at)
    if not listed:
        _nothing(any(value is not None for value in filters.values()))
    else:
        _summary(listed)
    above = st.container()  # the incident that is open stands above the table, in view
    ticked = _table(listed, page.at)
    _acknowledge([incident for incident in ticked if incident.is_waiting])
    with above:
        _panel(listed, ticked, page.at)
    settings.render()


def _parse() -> None:
    address.parse("kind", address.one_of(KINDS), "a kind: " + ", ".join(KINDS))
    address.parse("severity", address.one_of(SEVERITIES), "critical or warning")
    address.parse("acknowledged", address.one_of(tuple(ACKNOWLEDGED)), "yes or no")
    address.parse("search", str, "a part of a name, or a project's id")
    address.parse("over", _is_shown, "`shown`")
    address.parse("incident", _identifier, "the id of an incident")


def _filters() -> tuple[bool, Row]:
    """Show the filters; return whether to include resolved incidents, and the values."""
    with room.controls("alerts"):
        search = st.text_input("Project or organization", key="search", width=220, placeholder="Any")
        kind = _choice("Kind", "kind", KINDS, 200)
        severity = _choice("Severity", "severity", SEVERITIES, 150)
        acknowledged = _choice("Acknowledged", "acknowledged", tuple(ACKNOWLEDGED), 150)
        over = st.toggle("Include resolved", key="over")
    words = search.strip() or None
    for name, value in (("search", words), ("kind", kind), ("severity", severity)):
        address.write(name, value)
    address.write("acknowledged", acknowledged)
    address.write("over", "shown" if over else None)
    looked_after = None if acknowledged is None else ACKNOWLEDGED[acknowledged]
    filters = {"search": words, "kind": kind, "severity": severity, "acknowledged": looked_after}
    return over, filters


def _choice(label: str, key: str, options: Sequence[str], width: int) -> str | None:
    return st.selectbox(
        label, options, index=None, placeholder="Any", key=key, width=width, format_func=titles.words
    )


def _is_shown(raw: str) -> bool:
    if raw != "shown":
        raise ValueError(raw)
    return True


def _identifier(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and int(raw) < 2**63):
        raise ValueError(raw)
    return int(raw)


def _nothing(filtered: bool) -> None:
    what = "No open incident matches these filters." if filtered else "No incident is open."
    st.success(f"{what} The runner looks every half minute.", icon=":material/check_circle:")


def _summary(listed: Sequence[Incident]) -> None:
    critical = sum(incident.severity == "critical" and incident.is_waiting for incident in listed)
    waiting = sum(incident.is_waiting for incident in listed)
    if critical:
        st.error(f"{format.many(critical, 'critical incident')} not acknowledged.", icon=":material/error:")
    elif waiting:
        st.warning(f"{format.many(waiting, 'incident')} not acknowledged.", icon=":material/warning:")
    else:
        st.info("Every open incident is acknowledged.", icon=":material/visibility:")
    if len(listed) == MOST:
        st.caption(f"The first {MOST} are shown; choose a kind to see others.")


def _table(listed: Sequence[Incident], at: datetime) -> list[Incident]:
    """Show the incidents; return the ticked ones."""
    if st.session_state.pop("alerts-done", False):
        untick("alerts")
    if not listed:
        return []
    st.caption("Tick one to see all of it; tick those that you want to acknowledge.")
    rows = [_row(incident, at) for incident in listed]
    alt = "Incidents, open and critical first"
    height: int | Literal["auto"] = BESIDE if st.session_state.get("incident") is not None else "auto"
    ticked = table(rows, COLUMNS, "alerts", alt, True, height, placeholder="—")
    return [listed[number] for number in ticked]


def _row(incident: Incident, at: datetime) -> Row:
    cost = format.money(incident.cost, incident.currency or "") if incident.has_cost else None
    return vars(incident) | {
        "look": RESOLVED if incident.resolved_at else LOOKS.get(incident.severity, states.UNKNOWN),
        "title": incident.title,
        "age": format.lasting(incident.opened_at, incident.resolved_at or at),
        "cost": cost,
        "what": titles.words(incident.kind),
    }


def _acknowledge(waiting: Sequence[Incident]) -> None:
    def do() -> None:
        acknowledge([incident.id for incident in waiting], str(st.session_state.get("note") or ""))
        st.session_state["alerts-done"] = True  # a table that is drawn cannot be changed in the same run

    panel.acknowledge_button(waiting, do)


def _panel(listed: Sequence[Incident], ticked: Sequence[Incident], at: datetime) -> None:
    """Show the only ticked incident, or else the one in the address."""
    if len(ticked) == 1:
        st.session_state["incident"] = ticked[0].id
    elif ticked:
        st.session_state.pop("incident", None)
    incident_id = st.session_state.get("incident")
    address.write("incident", None if incident_id is None else str(incident_id))
    if incident_id is None:
        return
    incident = next((one for one in listed if one.id == incident_id), None) or _find(incident_id)
    if incident is None:
        address.refuse("incident", str(incident_id), "an incident that there is")
    else:
        panel.render(incident, at)


def _find(incident_id: int) -> Incident | None:
    with read_transaction() as page:
        return next(iter(incidents.read(page.connection, True, 1, id=incident_id)), None)
