"""Alerts and anomalies: what is wrong, since when, and who acknowledged it."""

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from console import address
from console.actions import acknowledge
from console.data.queries.rows import Row
from console.data.session import has_role
from console.data.transactions import read_transaction
from console.ui import confirm_dialog, escape, format
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.alerts import alert
from metering.alerts import alerts, rules
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Day

KINDS = (*rules.RULES, "anomaly")
MOST = 500
SHOWN = (
    Column("id", "Alert", "id"),
    Column("look", "Severity"),
    Column("what", "Kind"),
    Column("subject", "Subject", "name"),
    Column("project", "Project", "name"),
    Column("sentence", "Detail"),
    Column("opened_at", "Opened (UTC)", "instant"),
    Column("resolved_at", "Resolved (UTC)", "instant"),
    Column("acknowledged_by", "Acknowledged by", "name"),
)
BANDS = (
    Column("date", "Day"),
    Column("project", "Project", "name"),
    Column("label", "Meter"),
    Column("expected_low", "Expected from", "count"),
    Column("expected_high", "Expected to", "count"),
    Column("actual", "Actual", "count"),
    Column("unit", "Unit"),
)
LOOKS = {"critical": "● critical", "warning": "▲ warning"}


def show() -> None:
    """Show the page."""
    address.parse("kind", address.one_of(KINDS), "a kind: " + ", ".join(KINDS))
    kind = st.session_state.get("kind")
    address.parse("over", _is_shown, "`shown`")
    over = bool(st.session_state.get("over", False))
    as_of = head("Alerts")
    with loading(), read_transaction() as page:
        listed = alerts.list_alerts(page.connection, over, MOST, kind)
    as_of(page.at)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.selectbox(
            "Kind", KINDS, index=None, placeholder="Any kind", key="kind", width=240, format_func=_words
        )
        st.toggle("Include resolved", key="over")
    address.write("kind", kind)
    address.write("over", "shown" if over else None)
    if not listed:
        _nothing(kind)
        return
    _summary(listed)
    ticked = table(
        [_row(one) for one in listed],
        SHOWN,
        "alerts",
        "Alerts, open and critical first",
        True,
        placeholder="—",
    )
    _acknowledge([listed[number] for number in ticked] or [one for one in listed if _waits(one)])
    _anomalies([one for one in listed if one["kind"] == "anomaly"], page.at)


def _words(kind: str) -> str:
    return kind.replace("_", " ")


def _is_shown(raw: str) -> bool:
    if raw != "shown":
        raise ValueError(raw)
    return True


def _nothing(kind: str | None) -> None:
    what = f"No alert of kind {_words(kind)} is open." if kind else "No alert is open."
    st.success(f"{what} The runner looks every half minute.", icon=":material/check_circle:")


def _summary(listed: Sequence[Row]) -> None:
    critical = sum(one["severity"] == "critical" and _waits(one) for one in listed)
    waiting = sum(_waits(one) for one in listed)
    if critical:
        st.error(f"{format.many(critical, 'critical alert')} not acknowledged.", icon=":material/error:")
    elif waiting:
        st.warning(f"{format.many(waiting, 'alert')} not acknowledged.", icon=":material/warning:")
    else:
        st.info("Every open alert is acknowledged.", icon=":material/visibility:")
    if len(listed) == MOST:
        st.caption(f"The first {MOST} are shown; choose a kind to see others.")


def _waits(one: Row) -> bool:
    return one["resolved_at"] is None and one["acknowledged_by"] is None


def _row(one: Row) -> Row:
    look = LOOKS.get(one["severity"], one["severity"])
    return {
        **one,
        "look": look,
        "what": _words(one["kind"]),
        "sentence": alert.sentence(one["kind"], one["detail"]),
    }


def _acknowledge(chosen: Sequence[Row]) -> None:
    waiting = [one for one in chosen if _waits(one)]
    if not waiting or not has_role("operator"):
        return
    label = f"Acknowledge {format.many(len(waiting), 'alert')}"
    confirm_dialog.button(label, "acknowledge", ":material/visibility:")

    def explain() -> None:
        for one in waiting[:5]:
            st.markdown(f"- {escape.markdown(_words(one['kind']))}: {escape.markdown(one['subject'], 80)}")
        st.text_input("What is being done about it", key="note", max_chars=500)
        st.caption("They stay open until they are resolved; the note is kept in the audit log.")

    def do() -> None:
        acknowledge([one["id"] for one in waiting], str(st.session_state.get("note") or ""))

    confirm_dialog.ask("acknowledge", label, explain, "Acknowledge", do)


def _anomalies(listed: Sequence[Row], at: datetime) -> None:
    if not listed:
        return
    st.subheader("Unusual days", anchor=False)
    rows = [_band(row) for row in listed]
    table(rows, BANDS, "bands", "Days whose usage was outside of what was expected")
    charted = {one["id"]: one for one in listed if one["project_id"] is not None}
    if charted:
        chosen = st.selectbox(
            "Compare with expected range",
            list(charted),
            format_func=lambda number: _day_of(charted[number]),
            key="unusual",
        )
        one = charted[chosen]
        alert.unusual(one["project_id"], one["detail"], Day.of(at).previous().date)


def _band(row: Row) -> Row:
    meter = METERS.get(row["detail"]["meter"])
    unit = {"unit": meter.unit if meter else ""}
    return {**unit, **row["detail"], "project": row["project"], "label": _label(row)}


def _day_of(one: Row) -> str:
    return (
        f"{one['detail']['date']} · {_label(one)} · {escape.project(one['project_id'], one['project'] or '')}"
    )


def _label(one: Row) -> str:
    meter = METERS.get(one["detail"]["meter"])
    return meter.label if meter else str(one["detail"]["meter"])
