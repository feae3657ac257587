"""Write, list and delete notes on days; the charts show them (console/ui/charts/notes.py)."""

from collections.abc import Sequence
from datetime import date

import streamlit as st

from console.data.queries.rows import Row
from console.data.session import has_role
from console.data.views import annotations
from console.data.views.annotations import KINDS, TEXT, Note
from console.ui import escape
from metering.errors import FleetmeterError

FLEET = "The whole fleet"


def offer(
    notes: Sequence[Row],
    last: date,
    organization: tuple[int, str] | None = None,
    project: tuple[int, str] | None = None,
) -> None:
    """Offer the notes of a chart and, to operators, a form; `last` is the proposed day.

    `organization` and `project` are ids and names that a note can be about, beside the whole fleet.
    """
    may_write = has_role("operator")
    if not (may_write or notes):
        return
    label = f"Notes ({len(notes)})" if notes else "Note"
    with st.popover(label, icon=":material/edit_note:", key="notes"):
        for note in notes:
            _line(note, may_write)
        if may_write:
            _form(last, organization, project)


def _line(note: Row, may_write: bool) -> None:
    days = f"{note['first']}" if note["first"] == note["last"] else f"{note['first']} to {note['last']}"
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(
            f"**{KINDS.get(note['kind'], 'Other')}**, {days}  \n{escape.markdown(note['text'], TEXT)}  \n"
            f":gray[{escape.markdown(note['author'], 60)}]"
        )
        if may_write:
            st.button(
                "Delete",
                key=f"delete-note-{note['id']}",
                icon=":material/delete:",
                type="tertiary",
                on_click=annotations.delete,
                args=(note["id"],),
            )


def _form(last: date, organization: tuple[int, str] | None, project: tuple[int, str] | None) -> None:
    about: dict[str, tuple[int | None, int | None]] = {FLEET: (None, None)}
    if organization is not None:
        about[f"{escape.short(organization[1], 40)} (organization)"] = (organization[0], None)
    if project is not None:
        about[f"{escape.short(project[1], 40)} (project)"] = (None, project[0])
    with st.form("note", border=False, clear_on_submit=True):
        days = st.date_input("Days, both included (UTC)", (last, last), key="note-days")
        kind = st.selectbox("Kind", list(KINDS), format_func=KINDS.__getitem__, key="note-kind")
        whom = st.selectbox("About", list(about), index=len(about) - 1, key="note-about")
        words = st.text_input("What happened", max_chars=TEXT, key="note-text")
        if not st.form_submit_button("Save note", type="primary", key="note-save"):
            return
    dates: Sequence[date] = days if isinstance(days, tuple) else (days,)
    if not dates:
        st.error("A note needs a day.")
        return
    try:
        annotations.write(Note(dates[0], dates[-1], kind, words, *about[whom]))
    except FleetmeterError as error:
        st.error(str(error))
    else:
        st.rerun()
