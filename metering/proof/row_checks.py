"""Checks of one exported row against its own hashes: a sentence for each that does not hold."""

import json
from collections.abc import Iterator
from decimal import Decimal

from metering.exports.columns import MONEY
from metering.exports.export_hash import WRONG, Row, export_hash, row_hash, seal


def check_row(row: Row) -> Iterator[str]:
    """Yield a sentence, with project and period, for each hash or sum of the row that does not hold.

    Raises one of WRONG if the row does not name its project and period.
    """
    if "seal" in row:
        where = f"project {int(row['project_id'])}, {row['year']}-{int(row['month']):02d}"
        kind, check = "month", _check_bill
    else:
        where, kind, check = f"project {int(row['project_id'])}, {row['date']}", "day", _check_day
    sealed_otherwise = False
    try:
        for sentence in check(where, row):
            sealed_otherwise = True
            yield sentence
    except WRONG as error:
        sealed_otherwise = True
        yield f"{where}: the {kind} is not as it was sealed: a cell was rewritten ({error})"
    yield from _rewritten(where, row, sealed_otherwise)


def _check_day(where: str, row: Row) -> Iterator[str]:
    if row_hash(row) != row["row_hash"]:
        yield f"{where}: the day is not as it was sealed (row_hash)"


def _check_bill(where: str, row: Row) -> Iterator[str]:
    if seal(row) != row["seal"]:
        yield f"{where}: the month is not as it was sealed (seal)"
    fee, overage, adjusted, total = (Decimal(row[name]) for name in MONEY)
    charges = sum(Decimal(line["charge"]) for line in json.loads(row["exceeded_limits"]))
    if fee + overage + adjusted != total or charges != overage:
        yield f"{where}: the bill does not add up"


def _rewritten(where: str, row: Row, sealed_otherwise: bool) -> Iterator[str]:
    digest = export_hash(row)
    if digest != row.get("export_hash", digest):
        which = (
            "" if sealed_otherwise else "; what changed is outside the seal: a name, created_at or a column"
        )
        yield f"{where}: the row is not as it was exported (export_hash){which}"
