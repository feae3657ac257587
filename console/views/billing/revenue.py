"""Revenue over 13 months: by tier or customer, as corrected or as billed, each currency by itself."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

import streamlit as st

from console import address
from console.data import spending
from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.spending import Spending
from console.data.transactions import read_transaction_as
from console.ui import escape, revenue_chart, room
from console.ui.revenue_chart import Revenue
from metering.catalogue.periods import Month
from metering.db.scope import Scope
from metering.months import revenue
from metering.running import organization_spend, spend
from metering.running.spend import Spend

MONTHS = 13  # the running one, and the same month a year ago
GROUPS = {"total": "In all", "tier": "By tier", "organization": "By customer"}
AMOUNTS = {"as_corrected": "As corrected", "as_billed": "As billed"}


@cached
def query(scope: Scope, running: str, by: str) -> list[Row]:
    """Return the sums of the last months by that key, without the running month's few early bills."""
    with read_transaction_as(scope) as page:
        months = revenue.last_months(Month.parse(running), MONTHS)
        return revenue.sum_bills(page.connection, months, cast(Any, by))


def render(scope: Scope, running: Month) -> None:
    """Show the chart with its choices."""
    by = address.read("revenue", address.one_of(tuple(GROUPS)), f"one of {', '.join(GROUPS)}") or "total"
    amounts = address.read("amounts", address.one_of(tuple(AMOUNTS)), f"one of {', '.join(AMOUNTS)}")
    amounts = amounts or "as_corrected"
    rows, so_far = query(scope, str(running), by), spending.latest(scope)
    currencies = sorted({row["currency"] for row in rows} | set(so_far.so_far if so_far else ()))
    if not currencies:
        return
    with room.controls("revenue"):
        st.subheader("Revenue by month", anchor=False, width="stretch")
        _choose("Revenue", GROUPS, "revenue", by)
        _choose("Amounts", AMOUNTS, "amounts", amounts)
        currency = _currency(currencies)
    chart = of(rows, currency, amounts, by, running, so_far)
    revenue_chart.show(chart, "revenue", f"Bills of the last {MONTHS} months in {currency}")
    _note(amounts, so_far)


def _choose(label: str, options: Mapping[str, str], name: str, value: str) -> None:
    changed = address.bind(name, f"{name}-shown", value)
    show = options.__getitem__
    st.segmented_control(
        label, list(options), format_func=show, key=f"{name}-shown", required=True, on_change=changed
    )


def _currency(currencies: Sequence[str]) -> str:
    """Return the currency to show: two are never added."""
    if len(currencies) == 1:
        return currencies[0]
    currency = address.read("currency", address.one_of(currencies), "a currency with bills") or currencies[0]
    changed = address.bind("currency", "currency-shown", currency)
    st.selectbox("Currency", currencies, key="currency-shown", width=110, on_change=changed)
    return currency


def of(
    rows: Sequence[Row], currency: str, amounts: str, by: str, running: Month, so_far: Spending | None
) -> Revenue:
    """Return the data of the chart: sums of one currency by series and month, and the running month."""
    series: dict[str, dict[Month, Decimal]] = {}
    for row in rows:
        if row["currency"] == currency:
            own = series.setdefault(_name(row, by), {})
            own[row["month"]] = own.get(row["month"], Decimal(0)) + row[amounts]
    each = [one for one in so_far.each if one.currency == currency] if so_far else []
    charged: dict[str, Decimal] = {}
    for one in each:
        name = _name_of(one, by)
        charged[name] = charged.get(name, Decimal(0)) + one.so_far
    projected = organization_spend.projected_sum(each) if each else None
    return Revenue(currency, revenue.last_months(running, MONTHS), series, charged, projected)


def _name(row: Row, by: str) -> str:
    if by == "organization":
        return _customer(int(row["key"]), row["organization"])
    return "All customers" if by == "total" else _tier(row["key"])


def _name_of(one: Spend, by: str) -> str:
    if by == "organization":
        return _customer(one.organization_id, one.organization)
    return "All customers" if by == "total" else _tier(one.tier)


def _customer(number: int, name: str | None) -> str:
    return f"{escape.chart(name)} · {number}" if name else f"Customer {number}"


def _tier(name: str) -> str:
    return f"{escape.chart(name)} tier"


def _note(amounts: str, so_far: Spending | None) -> None:
    corrected = (
        "As corrected: each month with what was posted about it later, which the later bills hold as well. "
        if amounts == "as_corrected"
        else "As billed: each month with the adjustments that were posted to it. "
    )
    running = f"The running month is hatched; {spend.ASSUMPTION}." if so_far else ""
    st.caption(corrected + running)
