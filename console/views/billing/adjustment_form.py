"""Adjustments: those of a month, posting one, and reversing one."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

import streamlit as st
from sqlalchemy import Connection, text
from streamlit.delta_generator import DeltaGenerator

from console.billing_actions import adjust, reverse
from console.data import own_meters, spending
from console.data.queries.rows import Row, every
from console.data.session import has_role
from console.ui import escape
from console.ui.table import Column, table
from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.periods import Month
from metering.errors import FleetmeterError

MONEY = "an amount of money"
WAITS = "It waits for the approval of a second person, and is posted then."
COLUMNS = (
    Column("project_id", "Project", "id"),
    Column("id", "Adjustment", "id"),
    Column("usage_date", "About", "date"),
    Column("meter", "Meter"),
    Column("quantity", "Quantity", "count"),
    Column("amount", "Amount", "money", help="Of a quantity about a closed month: what it is worth there"),
    Column("currency", "Currency"),
    Column("reason", "Reason", "name"),
    Column("actor", "Posted by", "name"),
    Column("reverses", "Reverses", "id"),
)
ADJUSTMENTS = text("""
    SELECT project_id, id, usage_date, meter, quantity, amount, currency, reason,
        fleetmeter_staff(actor) AS actor, reverses FROM adjustments
    WHERE posted_month = :first ORDER BY id DESC LIMIT 200""")


def of_month(connection: Connection, month: Month) -> list[Row]:
    """Return the adjustments posted to `month`, newest first."""
    return every(connection, ADJUSTMENTS, first=month.first.date)


def render(posted_rows: list[Row], month: Month, at: datetime) -> None:
    """Render the adjustments of `month`, and while it runs the forms to post and reverse one."""
    running = month.start <= at < month.end and has_role("admin")
    if not posted_rows and not running:
        return
    st.subheader("Adjustments", anchor=False)
    notice = st.empty()  # outside of the box, which a second click may fold
    sentence, until = st.session_state.get("adjusted", ("", at))
    if at < until:
        notice.success(sentence, icon=":material/check_circle:")
    if posted_rows:
        ticked = table(
            posted_rows, COLUMNS, "adjustments", "Adjustments posted to the month", running, placeholder="—"
        )
        if ticked:
            _reverse(posted_rows[ticked[0]], at, notice)
    if running:
        _form(at, notice)


def _form(at: datetime, notice: DeltaGenerator) -> None:
    with st.expander("Post an adjustment", icon=":material/edit_note:"), st.form("adjust", border=False):
        left, right = st.columns(2)
        project = left.number_input("Project id", min_value=1, step=1, key="adjust-project")
        about = right.date_input("About the day", value=at.date(), format="YYYY-MM-DD", key="adjust-date")
        what = left.selectbox("Corrects", (MONEY, *COUNTER_NAMES, *own_meters.by_name()), key="adjust-what")
        by = right.text_input("Amount (negative to credit)", key="adjust-by", placeholder="-12.50")
        reason = st.text_input("Reason", key="adjust-reason", max_chars=500)
        if st.form_submit_button("Post it", key="adjust-post") and isinstance(about, date):
            _do(lambda: _post(int(project), about, what, by, reason, at), at, notice)


def _post(project: int, about: date, what: str, by: str, reason: str, at: datetime) -> str:
    try:
        amount = Decimal(by) if what == MONEY else None
        quantity = None if what == MONEY else int(by)
    except (InvalidOperation, ValueError):
        takes = "money like -12.50" if what == MONEY else "a whole number like -500"
        raise FleetmeterError(f"“By” takes {takes}") from None
    posting = adjust(project, None if what == MONEY else what, quantity, amount, about, reason, at)
    return WAITS if posting.waits else f"Adjustment {posting.id} is posted."


def _reverse(row: Row, at: datetime, notice: DeltaGenerator) -> None:
    with st.form("reverse", border=False):
        reason = st.text_input(f"Why adjustment {row['id']} is reversed", key="reverse-reason", max_chars=500)
        if st.form_submit_button(f"Reverse adjustment {row['id']}", key="reverse-post"):
            _do(lambda: _opposite(row, reason, at), at, notice)


def _opposite(row: Row, reason: str, at: datetime) -> str:
    posting = reverse(row["project_id"], row["id"], reason, at)
    return WAITS if posting.waits else f"Adjustment {posting.id} reverses {row['id']}."


def _do(post: Callable[[], str], at: datetime, notice: DeltaGenerator) -> None:
    """Post, and show the result for a minute: a second press ends the run of the first."""
    try:
        sentence = post()
    except FleetmeterError as error:
        notice.error(escape.markdown(str(error), 400), icon=":material/error:")
        return
    spending.forget()
    st.session_state["adjusted"] = (sentence, at + timedelta(minutes=1))
    st.rerun()
