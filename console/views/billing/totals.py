"""The sums of a month: its charge by part, and its overage by meter."""

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from console.data.queries.rows import Row
from console.ui import format
from console.ui.table import Column, table

LINES = (
    Column("label", "Meter"),
    Column("projects", "Projects over", "count"),
    Column("charged", "Overage charged", "count"),
    Column("free", "Overage of free tiers, not charged", "count"),
    Column("unit", "Unit"),
    Column("charge", "Charge", "money"),
    Column("currency", "Currency"),
)
CARD = 124  # pixels: with and without a change of one height


def cards(totals: Sequence[Row], before: Sequence[Row]) -> None:
    """Show the sums of a month's bills, each currency by itself, beside those of the month before."""
    earlier = {row["currency"]: row["total_charge"] for row in before}
    for row in totals:
        currency = row["currency"]
        lacking = f"{format.many(row['incomplete'], 'project')} incomplete" if row["incomplete"] else None
        figures = (
            ("Total", row["total_charge"], _change(row["total_charge"], earlier.get(currency))),
            ("Plan fees", row["plan_fee"], None),
            ("Overage", row["overage_charge"], None),
            ("Adjustments", row["adjustment_charge"], None),
            ("Days sealed", f"{row['days_present']:,} of {row['days_expected']:,}", lacking),
        )
        with st.container(horizontal=True, key=f"totals-{currency}"):
            for label, value, note in figures:
                text = format.money(value, currency) if isinstance(value, Decimal) else value
                st.metric(label, text, note, delta_color="off", delta_arrow="off", border=True, height=CARD)


def _change(now: Decimal, before: Decimal | None) -> str | None:
    return None if before is None else f"{now - before:+,} against the month before"


def overage(lines: Sequence[Row]) -> None:
    """Show the usage beyond the allowances, by meter, charged and not charged."""
    if not lines:
        return
    st.subheader("Overage by meter", anchor=False)
    rows = [{**row, "unit": format.unit_label(row["unit"])} for row in lines]
    table(rows, LINES, "lines", "What was used beyond the allowances, by meter; it sums to the overage")
