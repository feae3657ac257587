"""Downloads, made when they are clicked: the same rows as the table, numbers as they are stored."""

import hashlib
import io
from functools import partial

import streamlit as st

from console import figures
from console.reading import later, reading
from metering import exports
from metering.periods import Month


def monthly(month: Month, rows: int) -> None:
    """The bills of `month` as CSV and as Parquet; the digest is of the CSV."""
    for kind, make, mime in (("csv", _csv, "text/csv"), ("parquet", _parquet, "application/octet-stream")):
        st.download_button(
            f"Download {kind.upper() if kind == 'csv' else 'Parquet'} · {figures.many(rows, 'row')}",
            data=later(partial(make, month)),
            file_name=f"fleetmeter-{month}.{kind}",
            mime=mime,
            icon=":material/download:",
            on_click="ignore",
            key=kind,
        )


def digest(month: Month) -> str:
    """SHA-256 of the CSV of `month`, which is the same file wherever it is exported."""
    return hashlib.sha256(_csv(month).encode()).hexdigest()


def _csv(month: Month) -> str:
    stream = io.StringIO()
    with reading() as page:
        exports.write_csv(exports.monthly_rows(page.connection, month), exports.MONTHLY_COLUMNS, stream)
    return stream.getvalue()


def _parquet(month: Month) -> bytes:
    stream = io.BytesIO()
    with reading() as page:
        exports.write_parquet(exports.monthly_rows(page.connection, month), exports.MONTHLY, stream)
    return stream.getvalue()
