"""A bill taken apart: from its charge down to days and hours, with the arithmetic."""

import streamlit as st

from console.data.transactions import read_transaction
from console.ui import escape
from console.ui.table import untick
from metering.catalogue.periods import Month
from metering.errors import FleetmeterError
from metering.months import explain, explanation

TABLE = "bills"  # the table whose ticked bill is explained


def explained(project_id: int, month: Month) -> None:
    """Render an expander with every step of one bill, as `fleetmeter explain` prints it."""

    @st.dialog(
        f"Why project {project_id} pays this",
        width="medium",
        position="right",
        on_dismiss=lambda: untick(TABLE),
    )
    def drawer() -> None:
        arithmetic(project_id, month)

    drawer()


def arithmetic(project_id: int, month: Month) -> None:
    """Lines, days and hours of the bill, written out."""
    try:
        with read_transaction() as page:
            lines = list(explanation.render(explain.explain(page.connection, project_id, month)))
    except FleetmeterError as error:
        st.warning(escape.markdown(str(error), 400), icon=":material/receipt_long:")
        return
    st.code("\n".join(lines), language=None, wrap_lines=True)
