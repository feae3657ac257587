"""The charge of each customer for a closed month: sums in SQL, each currency by itself."""

import streamlit as st

from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.transactions import read_transaction_as
from console.ui import links
from console.ui.table import Column, table
from metering.catalogue.periods import Month
from metering.db.scope import Scope
from metering.months import revenue

COLUMNS = (
    Column("organization_id", "Id", "id", narrow="hidden"),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("bills", "Bills", "count"),
    Column("as_billed", "As billed", "money", narrow="figure"),
    Column("as_corrected", "As corrected", "money"),
    Column("plan_fee", "Plan fees", "money"),
    Column("overage_charge", "Overage", "money"),
    Column("adjustment_charge", "Adjustments", "money"),
    Column("currency", "Currency"),
)
MOST = 1_000


@cached
def query(scope: Scope, month: str) -> list[Row]:
    """Return the sums of the month's bills by organization and currency, the greatest first."""
    with read_transaction_as(scope) as page:
        return revenue.sum_bills(page.connection, [Month.parse(month)], "organization")


def render(scope: Scope, month: Month) -> None:
    """Show the totals of a month by customer; of many, the greatest."""
    rows = query(scope, str(month))
    st.subheader("By customer", anchor=False)
    named = [{**row, "organization_id": int(row["key"])} for row in rows[:MOST]]
    same = all(row["as_billed"] == row["as_corrected"] for row in named)
    columns = [column for column in COLUMNS if not (same and column.key == "as_corrected")]
    table(named, columns, "customer-totals", "Bills of the month by customer, the greatest first")
    if len(rows) > MOST:
        st.caption(f"The {MOST:,} greatest are shown; Customers lists all.")
