"""Audit: actions with person, subject, instant, and the values before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

import streamlit as st

from console import address
from console.data.session import now
from console.data.transactions import read_transaction
from console.ui import downloads, escape, room
from console.ui.page_header import head, loading
from console.ui.table import Column, table
from console.views.audit import differences
from metering.catalogue.periods import Day
from metering.db import audit_log
from metering.db.audit_log import Entry, Filter
from metering.exports.export import Export

PAGE = 200  # entries at once
DAYS = 30  # that are shown first
ANY = ""
COLUMNS = (
    Column("at", "When (UTC)", "instant", narrow="detail"),
    Column("actor", "Who", "name", narrow="title"),
    Column("what", "Did", narrow="detail"),
    Column("subject", "To", "name", narrow="detail"),
    Column("changed", "Changed", narrow="detail"),
    Column("reason", "Why", narrow="detail"),
    Column("id", "Entry", "id"),
)


def show() -> None:
    """Show the page."""
    first, last = _range(now())
    as_of = head("Audit")
    with read_transaction() as page:
        names = audit_log.actions(page.connection)
    matching = _matching(first, last, names)
    with loading(), read_transaction() as page:
        entries = audit_log.entries(page.connection, matching, PAGE + 1, _before())
    as_of(page.at)
    _list(entries[:PAGE])
    _turn(entries)
    _download(matching, first, last)


def _range(at: datetime) -> tuple[date, date]:
    """Read the days of the address; by default the last thirty, today included."""
    today = Day.of(at).date
    takes = f"a day up to {today}, like {today}"
    for name in ("from", "to"):
        address.parse(name, address.day(today), takes)
    last = min(st.session_state.get("to") or today, today)
    first = st.session_state.get("from") or last - timedelta(days=DAYS - 1)
    if first > last:
        st.warning(f"The range ended before it began; it shows {last} alone.")
        first = last
    st.session_state["from"], st.session_state["to"] = first, last
    return first, last


def _matching(first: date, last: date, names: Sequence[str]) -> Filter:
    """Show the filters, write them into the address, and return them."""
    address.parse("action", address.one_of(list(names)), "an action that the log holds")
    for name in ("actor", "subject"):
        address.parse(name, str, "a text")
    today = now().date()
    with room.controls("audit"):
        st.date_input("From", key="from", max_value=today, format="YYYY-MM-DD", width=150)
        st.date_input("To", key="to", max_value=today, format="YYYY-MM-DD", width=150)
        actor = st.text_input("Who", key="actor", placeholder="Part of a name", width=200, max_chars=200)
        action = st.selectbox("Did", [ANY, *names], key="action", format_func=_action, width=200)
        subject = st.text_input("To", key="subject", placeholder="project 7", width=200, max_chars=200)
    for name, value in (("from", str(first)), ("to", str(last)), ("actor", actor), ("subject", subject)):
        address.write(name, value or None)
    address.write("action", action or None)
    return Filter(Day(first).start, Day(last).end, actor, action or ANY, subject)


def _action(name: str) -> str:
    return name.replace("-", " ").capitalize() if name else "Anything"


def _before() -> int | None:
    """Return the entry before which the page begins, None for the newest."""
    address.parse("before", address.number, "the number of an entry")
    value = st.session_state.get("before")
    return int(value) if value else None


def _list(entries: Sequence[Entry]) -> None:
    if not entries:
        st.info("Nobody did that in these days. The log itself is never shortened.")
        return
    rows = [_row(entry) for entry in entries]
    ticked = table(
        rows, COLUMNS, "audit", "Entries of the audit log, newest first; tick one to see all of it", "one"
    )
    if ticked:
        _whole(entries[ticked[0]])
    else:
        st.caption("Tick an entry to see the thing before and after.")


def _row(entry: Entry) -> Mapping[str, Any]:
    changed = "; ".join(differences.sentences(entry.before, entry.after))
    return asdict(entry) | {"what": _action(entry.action), "changed": changed, "reason": entry.reason or ""}


def _whole(entry: Entry) -> None:
    with st.container(border=True, key="entry"):
        st.markdown(
            f"**{_action(entry.action)}**: {escape.markdown(entry.subject, 200)}, by "
            f"{escape.markdown(entry.actor, 200)}, {entry.at:%Y-%m-%d %H:%M:%S} UTC"
        )
        if entry.reason:
            st.markdown(f"Why: {escape.markdown(entry.reason, 500)}")
        rows = differences.rows(entry.before, entry.after)
        if rows:
            table(
                rows, differences.COLUMNS, f"entry-{entry.id}", "The thing before and after", placeholder="—"
            )
        else:
            st.caption("The entry holds neither before nor after.")


def _turn(entries: Sequence[Entry]) -> None:
    """Offer the newest page and the next older one."""
    with st.container(horizontal=True):
        if st.session_state.get("before") and st.button("Newest", key="newest", icon=":material/first_page:"):
            _go(None)
        if len(entries) > PAGE and st.button("Older", key="older", icon=":material/chevron_right:"):
            _go(entries[PAGE - 1].id)


def _go(before: int | None) -> None:
    address.write("before", None if before is None else str(before))
    st.session_state["before"] = before
    st.rerun()


def _download(matching: Filter, first: date, last: date) -> None:
    name = f"fleetmeter-audit-{first}-to-{last}.csv"
    downloads.of_export("Download CSV", Export.for_audit(matching), name, "audit-csv")
