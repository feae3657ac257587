"""Downloads, made when they are clicked: the same rows as the table, numbers as they are stored."""

import csv
import hashlib
import io
from collections.abc import Sequence
from decimal import Decimal
from functools import partial

import streamlit as st

from console.data.queries.rows import Row
from console.data.reading import later, reading
from console.ui import format
from metering.catalogue.periods import Month
from metering.exports import csv_format, parquet
from metering.exports.export import Export


def monthly(month: Month, rows: int) -> None:
    """The bills of `month` as CSV and as Parquet; the digest is of the CSV."""
    for kind, make, mime in (("csv", _csv, "text/csv"), ("parquet", _parquet, "application/octet-stream")):
        st.download_button(
            f"Download {kind.upper() if kind == 'csv' else 'Parquet'} · {format.many(rows, 'row')}",
            data=later(partial(make, month)),
            file_name=f"fleetmeter-{month}.{kind}",
            mime=mime,
            icon=":material/download:",
            on_click="ignore",
            key=kind,
        )


def checked(month: Month, totals: Sequence[Row]) -> None:
    """What the CSV holds, made once more: rows, its total beside the screen's, and its SHA-256.

    The same month is the same file wherever it is exported; a Parquet file holds the same rows, but is
    not the same bytes under another version of its writer.
    """
    made = _csv(month)
    rows = list(csv.DictReader(io.StringIO(made)))
    for total in totals:
        currency = total["currency"]
        held = sum((Decimal(row["total_charge"]) for row in rows if row["currency"] == currency), Decimal(0))
        agrees = "equals" if held == total["total_charge"] else "DIFFERS from"
        st.caption(
            f"{format.many(len(rows), 'row')} · the file's total {format.money(held, currency)} {agrees} "
            f"the total above, {format.money(total['total_charge'], currency)}"
        )
    st.caption(f"SHA-256 of the CSV: {hashlib.sha256(made.encode()).hexdigest()}")


def _csv(month: Month) -> str:
    stream, export = io.StringIO(), Export.for_month(month)
    with reading() as page:
        csv_format.write(export.rows(page.connection), export.names, stream)
    return stream.getvalue()


def _parquet(month: Month) -> bytes:
    stream, export = io.BytesIO(), Export.for_month(month)
    with reading() as page:
        parquet.write(export.rows(page.connection), export.columns, stream)
    return stream.getvalue()
