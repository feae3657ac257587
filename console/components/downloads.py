"""Downloads, made when they are clicked: the same rows as the table, numbers as they are stored."""

import io

import streamlit as st

from console import figures
from console.reading import reading
from metering import exports
from metering.periods import Month


def monthly(month: Month, rows: int) -> None:
    """The bills of `month` as CSV."""
    st.download_button(
        f"Download CSV · {figures.many(rows, 'row')}",
        data=lambda: _monthly(month),
        file_name=f"fleetmeter-{month}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="csv",
    )


def _monthly(month: Month) -> str:
    stream = io.StringIO()
    with reading() as page:
        exports.write_csv(exports.monthly_rows(page.connection, month), exports.MONTHLY_COLUMNS, stream)
    return stream.getvalue()
