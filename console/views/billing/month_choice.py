"""The month of the page: its choice, its state, and the button that closes it."""

from collections.abc import Sequence
from datetime import datetime

import streamlit as st

from console import address
from console.actions import ask
from console.data.queries.rows import Row
from console.data.session import has_role
from console.ui import confirm_dialog, format, progress, room
from metering.catalogue.periods import Month


def of_address(months: Sequence[Month], at: datetime) -> Month:
    """Return the month of the address, else the one before the running month."""
    options = [str(month) for month in months]
    address.parse(
        "month", address.one_of(options), f"a month between {options[-1]} and {options[0]} with bills"
    )
    if st.session_state.get("month") not in options:
        st.session_state["month"] = str(Month.of(at).previous())
    return Month.parse(st.session_state["month"])


def render(months: Sequence[Month], bills: int, unbilled: Sequence[Row], at: datetime) -> None:
    """Show the choice with the state of the month; `bills` and `unbilled` are of that month."""
    with room.controls("bills"):
        label = st.selectbox("Month", [str(month) for month in months], key="month", width=170)
        with st.container(width="stretch"):
            _state(Month.parse(label), bills, len(unbilled), at)
        over = Month.parse(label).end <= at
        if over and unbilled:
            _offer_close(Month.parse(label), len(unbilled), at)
    address.write("month", label)


def _state(month: Month, bills: int, unbilled: int, at: datetime) -> None:
    if month.end > at:
        st.badge("Running", icon=":material/lock_open:", color="blue")
        st.caption(f"Ends {month.end:%Y-%m-%d} 00:00 UTC and is closed then.")
    elif unbilled:
        st.badge("Open", icon=":material/lock_open:", color="orange")
        st.caption(f"{format.many(bills, 'bill')}; {format.many(unbilled, 'project')} not billed yet.")
    else:
        st.badge("Closed", icon=":material/lock:", color="green")
        st.caption(f"{format.many(bills, 'bill')}, sealed: none can change.")


def _offer_close(month: Month, unbilled: int, at: datetime) -> None:
    def explain() -> None:
        st.markdown(
            f"Seals the missing days of **{month}** and bills {format.many(unbilled, 'project')}; "
            "an earlier month that is still open comes first. "
            "A bill cannot be changed afterwards: corrections go into the running month."
        )
        st.caption("A project with an open gap is left out, and the run says why, until it is closed.")

    def close() -> None:
        progress.started("billing", [ask("monthly", str(month), at)])

    if has_role("operator") and st.button("Preview", icon=":material/visibility:", key="preview-close"):
        progress.started("billing", [ask("monthly", str(month), at, dry_run=True)])
    if not has_role("admin"):
        return
    confirm_dialog.button("Close the month", "close", ":material/lock:")
    confirm_dialog.ask("close", f"Close {month}?", explain, "Close it", close)
