"""The bills of a month: the columns in which they differ, a link to each, and the month's files."""

from collections.abc import Sequence

import streamlit as st

from console import address
from console.data.queries.rows import Row
from console.ui import downloads, format, links
from console.ui.table import Column, table
from console.views.billing.corrected_bill import Corrected
from metering.catalogue.periods import Month
from metering.months import owners

BILLS = (
    Column("project_id", "Id", "id", narrow="hidden"),
    Column("project", "Project", "name", link=lambda row: links.project(row["project_id"])),
    Column("organization", "Customer", "name", link=lambda row: links.organization(row["organization_id"])),
    Column("tier", "Tier"),
    Column("total_charge", "As billed", "money", narrow="figure", link=lambda row: row["address"]),
    Column("corrected", "As corrected", "money", help="With what was posted about this month since"),
    Column("charge_before", "Month before", "money"),
    Column("change", "Change", "money"),
    Column("plan_fee", "Plan fee", "money"),
    Column("overage_charge", "Overage", "money"),
    Column("adjustment_charge", "Adjustments", "money"),
    Column("currency", "Currency"),
    Column("days_present", "Days sealed", "count"),
    Column("days_expected", "Days expected", "count"),
    Column("lines_over", "Meters over", "count"),
    Column("notes", "Owners and readings", help="Each owner of a moved project, with days and usage"),
)
# A column is shown where a bill differs from the other column, or has a value.
WHERE_THEY_DIFFER = {
    "corrected": "total_charge",
    "days_present": "days_expected",
    "days_expected": "days_present",
}
WHERE_NOT_NOTHING = ("adjustment_charge", "overage_charge", "lines_over", "notes", "charge_before", "change")
PER_PAGE = 500


def skipped(count: int) -> int:
    """Return the number of bills on the pages before the current one."""
    address.parse("page", _number, "a page of bills")
    pages = max(1, -(-count // PER_PAGE))
    st.session_state["page"] = min(int(st.session_state.get("page") or 1), pages)
    return (int(st.session_state["page"]) - 1) * PER_PAGE


def _number(raw: str) -> int:
    if not (raw.isascii() and raw.isdigit() and 0 < int(raw) < 10**6):
        raise ValueError(raw)
    return int(raw)


def render(bills: Sequence[Row], count: int, month: Month, totals: Sequence[Row], since: Corrected) -> None:
    """Show a page of bills with their downloads; ticking a bill opens it through the address."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(format.many(count, "bill"), anchor=False, width="stretch")
        if count > PER_PAGE:
            pages = -(-count // PER_PAGE)
            st.number_input(f"Page of {pages}", 1, pages, key="page", width=140)
            address.write("page", str(st.session_state["page"]))
        downloads.monthly(month, count)
    cells = [
        {
            **row,
            "corrected": since.of(row),
            "notes": owners.notes(row["owners"], row["later_readings"]),
            "change": None if row["charge_before"] is None else row["total_charge"] - row["charge_before"],
            "address": links.address("billing", {"month": month, "project": row["project_id"]}),
        }
        for row in bills
    ]
    st.caption("Tick a bill, or follow the arrow beside its amount, to see its lines, days and hours.")
    alt = "Bills of the month, the highest first; tick one to see how it came about"
    for number in table(cells, differing(cells), "bills", alt, "one")[:1]:
        st.query_params["project"] = str(bills[number]["project_id"])
        st.rerun()
    if st.toggle("Show the file's SHA-256", key="digest"):
        downloads.show_checksum(month, totals)


def differing(bills: Sequence[Row]) -> tuple[Column, ...]:
    """Return the columns in which these bills differ, or that have a value in one of them."""
    dull = {key for key, usual in WHERE_THEY_DIFFER.items() if all(row[key] == row[usual] for row in bills)}
    dull |= {key for key in WHERE_NOT_NOTHING if not any(row[key] for row in bills)}
    if len({row["currency"] for row in bills}) == 1:
        dull.add("currency")  # the totals above name it
    return tuple(column for column in BILLS if column.key not in dull)
