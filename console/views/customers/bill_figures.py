"""The bills of a customer: so far, projected, last month, and by month."""

from collections.abc import Sequence
from decimal import Decimal

import streamlit as st

from console.data.queries.rows import Row
from console.ui import format, revenue_chart
from console.ui.revenue_chart import Revenue
from metering.catalogue.periods import Month
from metering.months import revenue
from metering.running import organization_spend
from metering.running.spend import Spend

MONTHS = 13


def render(own: Sequence[Spend] | None, months: Sequence[Row], running: Month) -> None:
    """Show each currency's bill so far, projection, and last month; two are never added."""
    last = {row["currency"]: row for row in months if row["month"] == running.previous()}
    before = {row["currency"]: row for row in months if row["month"] == running.previous().previous()}
    by_currency: dict[str, list[Spend]] = {}
    for one in own or ():
        by_currency.setdefault(one.currency, []).append(one)
    for currency in sorted({*last, *by_currency}):
        some = by_currency.get(currency, [])
        with st.container(horizontal=True, key=f"customer-figures-{currency}"):
            so_far = sum((one.so_far for one in some), Decimal(0)) if some else None
            st.metric("Bill so far", format.money(so_far, currency), border=True)
            st.metric(
                "Projected",
                format.money(organization_spend.projected_sum(some) if some else None, currency),
                border=True,
            )
            _last(last.get(currency), before.get(currency), currency, running.previous())


def _last(row: Row | None, before: Row | None, currency: str, month: Month) -> None:
    if row is None:
        return
    change = None
    if before is not None:
        change = f"{row['as_billed'] - before['as_billed']:+,} against the month before"
    label, amount = f"Bill of {month}", format.money(row["as_billed"], currency)
    st.metric(label, amount, change, delta_color="off", delta_arrow="off", border=True)
    st.metric("As corrected", format.money(row["as_corrected"], currency), border=True)


def trend(months: Sequence[Row], own: Sequence[Spend] | None, running: Month) -> None:
    """Show the bills of the last months, a chart for each currency."""
    currencies = sorted({row["currency"] for row in months} | {one.currency for one in own or ()})
    for currency in currencies:
        some = [one for one in own or () if one.currency == currency]
        billed = {row["month"]: row["as_corrected"] for row in months if row["currency"] == currency}
        so_far = {"Bills": sum((one.so_far for one in some), Decimal(0))} if some else {}
        projected = organization_spend.projected_sum(some) if some else None
        chart = Revenue(currency, revenue.last_months(running, MONTHS), {"Bills": billed}, so_far, projected)
        st.subheader(f"Bills of {MONTHS} months, {currency}", anchor=False)
        revenue_chart.show(
            chart, f"customer-months-{currency}", f"Bills by month in {currency}, as corrected"
        )
        st.caption("As corrected; the running month is hatched, with the projected rest outlined.")
