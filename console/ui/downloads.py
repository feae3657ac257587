"""Downloads, made when they are clicked: the same rows as the table, numbers as they are stored."""

import csv
import hashlib
import io
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial

import streamlit as st

from console.data.queries.rows import Row
from console.data.session import as_current_person
from console.data.transactions import read_transaction
from console.ui import format
from metering.catalogue.periods import Month
from metering.exports import csv_format, manifest, parquet
from metering.exports.export import Export
from metering.exports.manifest import Contents


def monthly(month: Month, rows: int) -> None:
    """Offer the bills of `month` as CSV and as Parquet, and the manifest to verify either with."""
    count = format.many(rows, "row")
    for key, label, ending, make, mime in (
        ("csv", f"Download CSV · {count}", "csv", _csv, "text/csv"),
        ("parquet", f"Download Parquet · {count}", "parquet", _parquet, "application/octet-stream"),
        ("manifest", "Download manifest", "manifest.json", _manifest, "application/json"),
    ):
        offer(label, partial(make, month), f"fleetmeter-{month}.{ending}", mime, key)


def of_export(label: str, export: Export, file_name: str, key: str) -> None:
    """Offer the rows of `export` as CSV."""
    offer(label, lambda: _csv_counted(export)[0], file_name, "text/csv", key)


def offer(label: str, make: Callable[[], str | bytes], file_name: str, mime: str, key: str) -> None:
    """Offer a file that `make` returns, for the person at the page, when it is clicked."""
    st.download_button(
        label,
        data=as_current_person(make),
        file_name=file_name,
        mime=mime,
        icon=":material/download:",
        on_click="ignore",
        key=key,
    )


def show_checksum(month: Month, totals: Sequence[Row]) -> None:
    """Show the CSV's rows, its total beside the screen's, and its SHA-256, computed anew.

    The same month is the same file wherever it is exported; a Parquet file holds the same rows, but is
    not the same bytes under another version of its writer.
    """
    content = _csv(month)
    rows = list(csv.DictReader(io.StringIO(content)))
    for total in totals:
        currency = total["currency"]
        file_total = sum(
            (Decimal(row["total_charge"]) for row in rows if row["currency"] == currency), Decimal(0)
        )
        agrees = "equals" if file_total == total["total_charge"] else "DIFFERS from"
        st.caption(
            f"{format.many(len(rows), 'row')} · the file's total {format.money(file_total, currency)} "
            f"{agrees} the total above, {format.money(total['total_charge'], currency)}"
        )
    st.caption(f"SHA-256 of the CSV: {hashlib.sha256(content.encode()).hexdigest()}")


def _csv(month: Month) -> str:
    return _csv_counted(Export.for_month(month))[0]


def _csv_counted(export: Export) -> tuple[str, Contents]:
    stream, contents = io.StringIO(), Contents()
    with read_transaction() as page:
        rows = contents.count_rows(export.names, export.rows(page.connection))
        csv_format.write(rows, export.names, stream)
    return stream.getvalue(), contents


def _manifest(month: Month) -> str:
    content, contents = _csv_counted(Export.for_month(month))
    return manifest.as_text(f"fleetmeter-{month}.csv", contents, hashlib.sha256(content.encode()).hexdigest())


def _parquet(month: Month) -> bytes:
    stream, export = io.BytesIO(), Export.for_month(month)
    with read_transaction() as page:
        parquet.write(export.rows(page.connection), export.columns, stream)
    return stream.getvalue()
