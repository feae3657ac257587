"""Requests that wait for the approval of a second person: request, requester and decision."""

from datetime import datetime
from decimal import Decimal
from functools import partial

import streamlit as st

from console.billing_actions import decide
from console.data import own_meters, spending
from console.data.session import current_person
from console.data.transactions import read_transaction
from console.ui import confirm_dialog, escape, format, notices
from metering.approvals import approvals
from metering.approvals.approvals import Approval
from metering.config.settings import current_settings
from metering.errors import FleetmeterError


def show(at: datetime) -> None:
    """Show the waiting requests to staff, with buttons to everybody but the requester."""
    person = current_person()
    if not current_settings().approval or person.organizations is not None:
        return
    with read_transaction() as page:
        questions = approvals.waiting(page.connection)
    if not questions:
        return
    st.subheader("Waiting for a second person", anchor=False)
    for question in questions:
        with st.container(horizontal=True, vertical_alignment="center", key=f"approval-{question.id}"):
            with st.container(width="stretch"):
                st.markdown(f"**{escape.markdown(sentence(question), 200)}**")
                st.caption(_request_note(question, at))
            if person.has("admin") and question.asked_by != person.actor:
                _buttons(question, at)


def sentence(question: Approval) -> str:
    """Return the requested action in words: `Credit 12.50 to project 7, about 2026-11-01`."""
    values = question.arguments
    if question.action == "close":
        return f"Close {question.subject} into bills"
    if question.action == "gap":
        return f"Accept gap {values['gap']}: its usage is not billed"
    if "reverses" in values:
        return f"Reverse adjustment {values['reverses']} of project {values['project_id']}"
    about = f"project {values['project_id']}, about {values['usage_date']}"
    if values["meter"] is None:
        amount = Decimal(values["amount"])
        return f"{'Credit' if amount < 0 else 'Charge'} {abs(amount):f} to {about}"
    return f"Adjust {own_meters.label(values['meter'])} by {values['quantity']:+,} for {about}"


def _request_note(question: Approval, at: datetime) -> str:
    who = "the schedule" if question.asked_by == approvals.SCHEDULE else escape.markdown(question.asked_by)
    reason = f": {escape.markdown(question.reason, 400)}" if question.reason else ""
    return f"Asked for by {who} {format.age(question.asked_at, at)}{reason}"


def _buttons(question: Approval, at: datetime) -> None:
    for word, approve, icon in (("Approve", True, ":material/check:"), ("Refuse", False, ":material/close:")):
        key = f"{word.lower()}-{question.id}"
        confirm_dialog.button(word, key, icon)
        confirm_dialog.ask(
            key,
            f"{word}: {sentence(question)}?",
            partial(_explain, question, approve),
            f"{word} it",
            partial(_decide, question, approve, at),
        )


def _explain(question: Approval, approve: bool) -> None:
    effect = "It is done at once, in the name of the person who asked." if approve else "Nothing is done."
    st.markdown(f"{effect} The audit log keeps both names.")
    st.text_input("Note (optional)", key=f"approval-note-{question.id}", max_chars=500)


def _decide(question: Approval, approve: bool, at: datetime) -> None:
    note = str(st.session_state.get(f"approval-note-{question.id}") or "")
    try:
        decide(question.id, approve, note, at)
    except FleetmeterError as error:
        notices.error(str(error))
        return
    spending.forget()
    notices.success("Approved and done." if approve else "Refused.")
