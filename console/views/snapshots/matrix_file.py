"""The matrix as a file: every project's days, source by source, with details of each."""

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial

from sqlalchemy import Connection

from console.data.session import now
from console.data.transactions import read_transaction
from console.ui import downloads
from metering.catalogue.periods import Day
from metering.catalogue.sources import SourceName
from metering.days import coverage_matrix
from metering.exports import csv_format

PAGE = 500  # projects that are read at a time
NAMES = ("project_id", "project", "organization_id", "date", "source", "state", "detail")


def offer(first: Day, last: Day, sources: Sequence[SourceName], only: tuple[int, ...] | None) -> None:
    """Offer the states of `sources` from `first` to `last` as CSV, of every project or of `only` those."""
    name = f"fleetmeter-coverage-{first}-to-{last}.csv"
    downloads.offer("Download CSV", partial(_csv, first, last, sources, only), name, "text/csv", "matrix-csv")


def _csv(first: Day, last: Day, sources: Sequence[SourceName], only: tuple[int, ...] | None) -> str:
    stream = io.StringIO()
    with read_transaction() as page:
        csv_format.write(rows(page.connection, first, last, sources, only), NAMES, stream)
    return stream.getvalue()


def rows(
    connection: Connection,
    first: Day,
    last: Day,
    sources: Sequence[SourceName],
    only: tuple[int, ...] | None,
) -> Iterator[tuple[object, ...]]:
    """Yield the rows of the file, whose columns are NAMES."""
    after, at = 0, now()
    while cells := coverage_matrix.matrix(connection, first, last, at, after, PAGE, sources, only):
        for cell in cells:
            detail = json.dumps(cell.detail, sort_keys=True) if cell.detail else None
            whose = cell.project_id, cell.project, cell.organization_id
            yield (*whose, cell.date, cell.source, cell.state, detail)
        after = cells[-1].project_id
