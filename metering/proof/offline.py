"""Verify exported months with nothing but their files: `python -m metering.offline FILE...`

Takes the CSV, in any of its styles, the JSON or the Parquet of `fleetmeter export monthly` and, where
they are given, of `fleetmeter export daily`; or the folder of a restored archive. docs/proof.md
specifies what is checked, in any language's terms. Rows are checked as they are read: of each only
its hashes are kept.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from metering.errors import FleetmeterError
from metering.exports.columns import MONEY
from metering.exports.export_hash import WRONG, Row, export_hash, row_hash, seal
from metering.exports.export_rows import rows


class ExportedBill(NamedTuple):
    """What is kept of a bill: its seal, the one before, and the hashes of its days."""

    seal: str
    previous_seal: str
    day_hashes: list[str]
    whole: int


class ExportedDay(NamedTuple):
    """What is kept of a day."""

    row_hash: str
    whole: int


@dataclass
class ExportContents:
    """Bills by project, year and month, days by project and date, and a sentence for each discrepancy."""

    bills: dict[tuple[int, int, int], ExportedBill] = field(default_factory=dict)
    days: dict[tuple[int, str], ExportedDay] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)


def verify(paths: Iterable[Path]) -> tuple[dict[str, int], list[str]]:
    """Rows checked, by kind, and a sentence for each discrepancy. Raises FleetmeterError."""
    read = examine(paths)
    return {"bills": len(read.bills), "days": len(read.days)}, read.found


def examine(paths: Iterable[Path]) -> ExportContents:
    """Check every row of those files, and then the rows against each other. Raises FleetmeterError."""
    read = ExportContents()
    for path in (file for each in paths for file in _files(each)):
        for number, row in enumerate(rows(path), 1):
            try:
                _keep(row, read)
            except WRONG as error:
                read.found.append(f"{path.name}, row {number}: it was rewritten ({error})")
                continue
            read.found.extend(_broken(row))
    read.found += [*_broken_chain(read), *_unlike(read)]
    return read


def _files(path: Path) -> list[Path]:
    """Of a folder the two files that an archive has."""
    return [path / "bills.csv", path / "days.csv"] if path.is_dir() else [path]


def _keep(row: Row, read: ExportContents) -> None:
    project, whole = int(row["project_id"]), hash(tuple(row.items()))
    if "seal" in row:
        month = (project, int(row["year"]), int(row["month"]))
        bill = ExportedBill(row["seal"], row["previous_seal"], row["day_hashes"].split(), whole)
        if read.bills.setdefault(month, bill) != bill:
            raise ValueError(f"a second bill of project {project} for {month[1]}-{month[2]:02d}")
    else:
        date.fromisoformat(row["date"])
        day = ExportedDay(row["row_hash"], whole)
        if (
            int(row["year"])
            and int(row["month"])
            and read.days.setdefault((project, row["date"]), day) != day
        ):
            raise ValueError(f"a second {row['date']} of project {project}")


def _broken(row: Row) -> Iterator[str]:
    if "seal" in row:
        where = f"project {row['project_id']}, {row['year']}-{int(row['month']):02d}"
        what, check = "month", _broken_bill
    else:
        where, what, check = f"project {row['project_id']}, {row['date']}", "day", _broken_day
    try:
        yield from check(where, row)
    except WRONG as error:
        yield f"{where}: the {what} is not as it was sealed: a cell was rewritten ({error})"
    yield from _rewritten(where, row)


def _broken_day(where: str, row: Row) -> Iterator[str]:
    if row_hash(row) != row["row_hash"]:
        yield f"{where}: the day is not as it was sealed (row_hash)"


def _broken_bill(where: str, row: Row) -> Iterator[str]:
    if seal(row) != row["seal"]:
        yield f"{where}: the month is not as it was sealed (seal)"
    fee, overage, adjusted, total = (Decimal(row[name].replace(",", ".")) for name in MONEY)
    charges = sum(Decimal(line["charge"]) for line in json.loads(row["exceeded_limits"]))
    if fee + overage + adjusted != total or charges != overage:
        yield f"{where}: the bill does not add up"


def _rewritten(where: str, row: Row) -> Iterator[str]:
    plain = {name: cell.replace(",", ".") if name in MONEY else cell for name, cell in row.items()}
    if export_hash(plain) != row.get("export_hash", export_hash(plain)):
        yield f"{where}: the row is not as it was exported (export_hash)"


def _broken_chain(read: ExportContents) -> Iterator[str]:
    for (project, year, month), bill in read.bills.items():
        before = read.bills.get((project, year - (month == 1), (month - 2) % 12 + 1))
        if before and before.seal != bill.previous_seal:
            where = f"project {project}, {year}-{month:02d}"
            yield f"{where}: it does not follow the month before (previous_seal)"


def _unlike(read: ExportContents) -> Iterator[str]:
    """Where days are given too: the ones that a bill was made of are those, and no others."""
    hashes: dict[tuple[int, int, int], list[str]] = {}
    for (project, when), day in sorted(read.days.items()):
        of = date.fromisoformat(when)
        hashes.setdefault((project, of.year, of.month), []).append(day.row_hash)
    for key, found in hashes.items():
        if key in read.bills and read.bills[key].day_hashes != found:
            project, year, month = key
            yield f"project {project}, {year}-{month:02d}: these are not the days that it was made of"


def main(arguments: list[str]) -> int:
    """Print what was checked and found; 0 sound, 1 not, 2 nothing to check."""
    if not arguments:
        print(
            "usage: python -m metering.offline FILE...: months and days as CSV, JSON or Parquet",
            file=sys.stderr,
        )
        return 2
    try:
        checked, found = verify(Path(name) for name in arguments)
    except FleetmeterError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(found) or "every seal holds", f"({checked['bills']:,} bills, {checked['days']:,} days)")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
