"""Search: projects, customers, months, runs and open alerts whose name, id or subject matches."""

from collections.abc import Mapping, Sequence

import streamlit as st

from console import address
from console.data.cache import cached
from console.data.queries import search
from console.data.queries.rows import Row
from console.data.session import current_scope, now
from console.data.transactions import read_transaction_as
from console.ui import escape, format, links, listing, progress
from console.ui.page_header import head, loading
from console.ui.table import Column
from metering.db.scope import Scope

PROJECTS = (
    Column("name", "Project", "name", link=lambda row: links.project(row["id"])),
    Column("organization", "Customer", "name"),
    Column("id", "Id", "id", narrow="detail"),
)
CUSTOMERS = (
    Column("name", "Customer", "name", link=lambda row: links.organization(row["id"])),
    Column("tier", "Tier"),
    Column("id", "Id", "id", narrow="detail"),
)
MONTHS = (
    Column("month", "Month", narrow="title", link=lambda row: links.month(row["month"])),
    Column("bills", "Bills", "count"),
)
RUNS = (
    Column("title", "Run", narrow="title", link=lambda row: links.run(row["id"])),
    Column("label", "State"),
    Column("created_at", "Triggered (UTC)", "instant"),
)
ALERTS = (
    Column("what", "Open alert", narrow="title", link=lambda row: links.address("alerts")),
    Column("subject", "Subject", "name", narrow="detail"),
    Column("project", "Project", "name", narrow="detail", link=lambda row: links.project(row["project_id"])),
    Column("opened_at", "Opened (UTC)", "instant"),
)
TABLES: Mapping[str, tuple[str, Sequence[Column]]] = {
    "projects": ("Projects", PROJECTS),
    "customers": ("Customers", CUSTOMERS),
    "months": ("Months", MONTHS),
    "runs": ("Runs", RUNS),
    "alerts": ("Open alerts", ALERTS),
}
MOST = 20


@cached
def query(scope: Scope, words: str) -> dict[str, list[Row]]:
    """Return the matches of `words`, by subject."""
    with read_transaction_as(scope) as page:
        return search.find(page.connection, words, MOST)


def show() -> None:
    """Show the page."""
    address.parse("q", str, "words to search for")
    words = str(st.session_state.get("q") or "")[:200]
    as_of = head("Search")
    with loading():
        matches = query(current_scope(), words)
    as_of(now())
    if not words.strip():
        st.info("Type a name, an id, a month or a job into the search above; `/` puts the cursor there.")
        return
    number = sum(map(len, matches.values()))
    st.markdown(f"{format.many(number, 'match').replace('matchs', 'matches')} for “{escape.markdown(words)}”")
    for subject, rows in matches.items():
        if rows:
            heading, columns = TABLES[subject]
            st.subheader(heading, anchor=False)
            listing.render([_row(subject, row) for row in rows], columns, f"{heading} that match")
            if len(rows) == MOST:
                st.caption(f"The first {MOST} are shown; search for more of the name.")


def _row(subject: str, row: Row) -> Row:
    if subject == "runs":
        return {**row, "title": f"{row['id']} · {row['job']} {row['period']}", "label": progress.look(row)[2]}
    if subject == "alerts":
        return {**row, "what": str(row["kind"]).replace("_", " ")}
    return row
