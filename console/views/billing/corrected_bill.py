"""A closed month's bills as corrected by later postings about that month."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import streamlit as st

from console.data.cache import cached
from console.data.queries.rows import Row
from console.data.transactions import read_transaction_as
from console.ui import format
from metering.catalogue.periods import Month
from metering.db.scope import Scope
from metering.months import corrected_bills

MOST = 500  # projects whose month is rated again for a page


@dataclass(frozen=True)
class Corrected:
    """The corrected charge of each project with later postings, and whether these are all."""

    charges: Mapping[int, Decimal]
    whole: bool = True

    def of(self, bill: Row) -> Decimal | None:
        """Return a bill's charge as corrected; None if it was not rated again."""
        return self.charges.get(bill["project_id"], bill["total_charge"] if self.whole else None)


NONE = Corrected({})


@cached
def query(scope: Scope, month: str) -> Corrected:
    """Return the corrections of a month, of the first MOST projects."""
    one = Month.parse(month)
    with read_transaction_as(scope) as page:
        changed = corrected_bills.corrected_projects(page.connection, one, MOST)
        views = corrected_bills.views(page.connection, one, changed) if changed else []
    charges = {view["project_id"]: view["as_corrected"]["total_charge"] for view in views}
    return Corrected(charges, len(changed) < MOST)


def say(since: Corrected) -> None:
    """Show how many bills were corrected and where that is charged; nothing without any."""
    if since.charges:
        which = format.many(len(since.charges), "project") + ("" if since.whole else " or more")
        st.caption(
            f":material/edit_note: {which} corrected since. *As corrected* has what was posted about this "
            "month to later ones, whose bills charge it."
        )
