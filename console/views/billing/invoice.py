"""A closed bill as an invoice: lines that unfold to days and hours, adjustments, total, proof."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape as html_escape

import streamlit as st

from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import escape, format, links
from console.ui.table import Column, table
from metering.catalogue.periods import Day, Month
from metering.errors import FleetmeterError
from metering.months import explain, explanation, invoice
from metering.months.explain import Explanation
from metering.months.invoice import InvoiceLine

DAYS = (
    Column("date", "Day", "date"),
    Column("quantity", "Quantity", "count"),
    Column("measured", "Measured"),
)
HOURS = (Column("hour", "Hour (UTC)", "instant"), Column("quantity", "Quantity", "count"))
HEAD = ("Meter", "Tier", "Quantity", "Included", "Beyond", "Price", "Amount")
NUMBERS = (2, 3, 4, 6)
CELL = "padding:.4rem .6rem;border-bottom:1px solid rgba(128,128,128,.28)"
# On paper only the invoice: no navigation, no buttons, nothing that scrolls.
PRINT = """<style>@media print {
    [data-testid=stSidebar], [data-testid=stHeader], [data-testid=stToolbar], .stButton,
    .st-key-invoice-links, [data-testid=stExpander], .st-key-refresh {display: none !important}
    .stApp, .stMain, .stAppViewContainer {position: static !important; overflow: visible !important}
}</style>"""


def render(project_id: int, month: Month) -> None:
    """Show the bill of a project's month, or that the month is not closed and has none."""
    try:
        with read_transaction() as page:
            explained = explain.explain(page.connection, project_id, month, with_hours=False)
    except FleetmeterError as error:
        st.warning(escape.markdown(str(error), 400), icon=":material/receipt_long:")
        _links(None, month)
        return
    _head(explained, month)
    _links(explained.bill, month)
    lines = invoice.lines(explained)
    st.html(PRINT + _table(explained, lines))
    for note in explanation.notes(explained):
        st.caption(escape.markdown(note[:1].upper() + note[1:], 600))
    for gap in explained.gaps:
        st.caption(escape.markdown(explanation.gap_note(gap), 400))
    st.subheader("How each line came about", anchor=False)
    for number, line in enumerate(lines):
        _unfolded(number, line, project_id)
    with st.expander("Proof", icon=":material/fingerprint:"):
        st.code("\n".join(explanation.proof(explained)), language=None)


def _head(explained: Explanation, month: Month) -> None:
    bill = explained.bill
    name = links.anchor(links.project(bill["project_id"]), escape.html(bill["project"]))
    customer = links.anchor(links.organization(bill["organization_id"]), "its customer")
    total = html_escape(format.money(bill["total_charge"], bill["currency"]))
    st.html(
        f"<h2 style='margin:0;overflow-wrap:anywhere'>Bill of {name} for {month}</h2>"
        f"<div>project {bill['project_id']} · {customer} · <strong>{total}</strong></div>"
    )


def _links(bill: Row | None, month: Month) -> None:
    with st.container(horizontal=True, key="invoice-links"):
        st.html(links.anchor(links.month(month), f"All bills of {month}"))
        if bill is not None:
            before = links.address("billing", {"month": month.previous(), "project": bill["project_id"]})
            st.html(links.anchor(before, f"The same for {month.previous()}"))
            st.caption("The browser prints the invoice alone.")


def _table(explained: Explanation, lines: Sequence[InvoiceLine]) -> str:
    bill = explained.bill
    rows = [_cells(("Plan fee", invoice.tier(bill["tier"]), "", "", "", "", f"{bill['plan_fee']:,}"))]
    rows += [_cells(_of_line(line)) for line in lines]
    rows += [_adjusted(row, explained) for row in explained.adjustments]
    if bill["adjustment_charge"]:
        rows.append(_sum("Adjustments", bill["adjustment_charge"]))
    rows.append(_sum(f"Total in {bill['currency']}", bill["total_charge"], "font-weight:700"))
    head = "".join(f"<th scope='col' style='{CELL};{_side(n)}'>{label}</th>" for n, label in enumerate(HEAD))
    return (
        "<div role='region' aria-label='Lines of the bill' tabindex='0' style='overflow-x:auto'>"
        "<table class='fm-invoice' style='width:100%;border-collapse:collapse;font-size:.9rem'>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _of_line(line: InvoiceLine) -> Iterable[str]:
    label = format.unit_label(line.unit)
    tail = f" {label}" if label else ""
    quantity = "never sampled" if line.quantity is None else f"{_plain(line.quantity)}{tail}"
    beyond = f"{_plain(line.beyond)}{tail}" if line.beyond else "–"
    terms = line.terms if line.beyond else ""
    return line.title, line.tier, quantity, f"{line.included:,}{tail}", beyond, terms, f"{line.amount:,}"


def _plain(quantity: Decimal) -> str:
    return f"{quantity.normalize():,f}"


def _cells(texts: Iterable[str]) -> str:
    cells = (f"<td style='{CELL};{_side(n)}'>{html_escape(text)}</td>" for n, text in enumerate(texts))
    return f"<tr>{''.join(cells)}</tr>"


def _side(number: int) -> str:
    numeric = "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"
    return numeric if number in NUMBERS else "text-align:left"


def _adjusted(row: Row, explained: Explanation) -> str:
    words = escape.html(explanation.adjustment(dict(row), explained), 400)
    return f"<tr><td colspan='7' style='{CELL};opacity:.85'>{words}</td></tr>"


def _sum(label: str, amount: Decimal, style: str = "") -> str:
    return (
        f"<tr style='{style}'><td colspan='6' style='{CELL}'>{label}</td>"
        f"<td style='{CELL};{_side(6)}'>{amount:,}</td></tr>"
    )


def _unfolded(number: int, line: InvoiceLine, project_id: int) -> None:
    """Show a line's days, and the hours of the ticked day, once the line is opened."""
    label = f"{line.title}, {line.tier}: {line.amount:,}"
    box = st.expander(escape.markdown(label, 200), key=f"line-{number}", on_change="rerun")
    if not box.open:
        return
    with box:
        st.caption(escape.markdown(line.explained.arithmetic, 600))
        explained_days = line.explained.days
        days = [
            {"date": day.date, "quantity": day.quantity, "measured": explanation.measured(day.coverage)}
            for day in explained_days
        ]
        title = f"{line.title} by day; tick a day to see its hours"
        ticked = table(days, DAYS, f"days-{number}", title, "one")
        if line.explained.adjusted:
            st.caption(f"Adjustments of usage: {line.explained.adjusted:+,}")
        for place in ticked[:1]:
            _hours(project_id, Day(explained_days[place].date), line)


def _hours(project_id: int, day: Day, line: InvoiceLine) -> None:
    with read_transaction() as page:
        hours = explain.hours_of(page.connection, project_id, day, line.meter)
    rows = [{"hour": hour, "quantity": quantity} for hour, quantity in hours.items()]
    if not rows:
        st.caption(f"No hour of {day} has usage in the ledger.")
        return
    table(rows, HOURS, f"hours-{line.meter}", f"{line.title} by hour of {day}")
