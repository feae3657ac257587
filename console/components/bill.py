"""A bill taken apart: from its charge down to days and hours, with the arithmetic."""

import streamlit as st

from console.reading import reading
from metering import explain
from metering.errors import FleetmeterError
from metering.periods import Month


def explained(project_id: int, month: Month) -> None:
    """Every step of one bill, in the words of `fleetmeter explain`."""
    try:
        with reading() as page:
            lines = list(explain.render(explain.explain(page.connection, project_id, month)))
    except FleetmeterError as error:
        st.warning(str(error), icon=":material/receipt_long:")
        return
    st.subheader(f"Why project {project_id} pays this", anchor=False)
    st.code("\n".join(lines), language=None, wrap_lines=True, height=420)
