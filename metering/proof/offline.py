"""Verify exported months from their files alone: `python -m metering.offline FILE...`.

Takes the CSV, in any of its styles, the JSON or the Parquet of `fleetmeter export monthly` and, where
they are given, of `fleetmeter export daily`; or the folder of a restored archive. A manifest beside a
file is used. docs/proof.md specifies the checks, in any language's terms. Rows are checked as they are
read: only the hashes of each are held.
"""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

from metering.errors import FleetmeterError
from metering.exports.export_hash import WRONG, Row
from metering.exports.export_rows import ExportedFile
from metering.exports.manifest import Contents, Manifest
from metering.printable import printable
from metering.proof.row_checks import check_row


class ExportedBill(NamedTuple):
    """The hashes of a bill: its seal, the one before, those of its days; and a hash of all its cells."""

    seal: str
    previous_seal: str
    day_hashes: list[str]
    cells: int


class ExportedDay(NamedTuple):
    """The hash of a day, and a hash of all its cells."""

    row_hash: str
    cells: int


@dataclass
class ExportCheck:
    """The rows of exported files, and the results of their checks.

    `bills` are by project, year and month, `days` by project and date. `discrepancies` has a sentence for
    each check that failed, `notes` one for each that could not be made.
    """

    bills: dict[tuple[int, int, int], ExportedBill] = field(default_factory=dict)
    days: dict[tuple[int, str], ExportedDay] = field(default_factory=dict)
    discrepancies: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(paths: Iterable[Path]) -> tuple[dict[str, int], list[str]]:
    """Return the rows checked, by kind, and a sentence for each discrepancy. Raises FleetmeterError."""
    check = examine(paths)
    counts = {"bills": len(check.bills), "days": len(check.days)}
    return counts, check.discrepancies


def examine(paths: Iterable[Path]) -> ExportCheck:
    """Check every row of those files, and then the rows against each other. Raises FleetmeterError."""
    check = ExportCheck()
    for path in (file for each in paths for file in _files(each)):
        _examine_file(path, check)
    check.discrepancies += [*_check_chain(check), *_check_days(check)]
    return check


def _files(path: Path) -> list[Path]:
    """Return the two files of an archive's folder, or the file itself."""
    return [path / "bills.csv", path / "days.csv"] if path.is_dir() else [path]


def _examine_file(path: Path, check: ExportCheck) -> None:
    file, contents, keys = ExportedFile(path), Contents(), set[tuple[int, ...] | tuple[int, str]]()
    check.discrepancies += [
        f"{path.name}: the column {name} is not part of the export" for name in file.unknown
    ]
    for number, row in enumerate(file, 1):
        try:
            key = _register(row, check)
            if key in keys:
                raise ValueError("the same row stands twice in this file")
            keys.add(key)
            contents.add(row)
            check.discrepancies.extend(check_row(row))
        except WRONG as error:
            check.discrepancies.append(f"{path.name}, row {number}: it was rewritten ({error})")
    manifest = Manifest.beside(path)
    if manifest is None:
        check.notes.append(f"{path.name} has no manifest beside it: whether a row is missing is unknown")
    else:
        check.discrepancies.extend(manifest.differences(path, contents))


def _register(row: Row, check: ExportCheck) -> tuple[int, ...] | tuple[int, str]:
    """Register the hashes of the row; returns its key. Raises ValueError if an earlier row differs."""
    project, cells = int(row["project_id"]), hash(tuple(row.items()))
    year, month = int(row["year"]), int(row["month"])
    if "seal" in row:
        bill = ExportedBill(row["seal"], row["previous_seal"], row["day_hashes"].split(), cells)
        if check.bills.setdefault((project, year, month), bill) != bill:
            raise ValueError(f"a second bill of project {project} for {year}-{month:02d}")
        return project, year, month
    date.fromisoformat(row["date"])
    day = ExportedDay(row["row_hash"], cells)
    if check.days.setdefault((project, row["date"]), day) != day:
        raise ValueError(f"a second {row['date']} of project {project}")
    return project, row["date"]


def _check_chain(check: ExportCheck) -> Iterator[str]:
    for (project, year, month), bill in check.bills.items():
        before = check.bills.get((project, year - (month == 1), (month - 2) % 12 + 1))
        if before and before.seal != bill.previous_seal:
            where = f"project {project}, {year}-{month:02d}"
            yield f"{where}: it does not follow the month before (previous_seal)"


def _check_days(check: ExportCheck) -> Iterator[str]:
    """Yield a sentence for each bill that was not made of the days in the files."""
    hashes: dict[tuple[int, int, int], list[str]] = {}
    for (project, name), day in sorted(check.days.items()):
        when = date.fromisoformat(name)
        hashes.setdefault((project, when.year, when.month), []).append(day.row_hash)
    for key, day_hashes in hashes.items():
        if key in check.bills and check.bills[key].day_hashes != day_hashes:
            project, year, month = key
            yield f"project {project}, {year}-{month:02d}: these are not the days that it was made of"


def main(arguments: list[str]) -> int:
    """Print the result of the checks; returns 0 if all hold, 1 if not, 2 if there is nothing to check."""
    if not arguments:
        print(
            "usage: python -m metering.offline FILE...: months and days as CSV, JSON or Parquet",
            file=sys.stderr,
        )
        return 2
    try:
        check = examine(Path(name) for name in arguments)
    except FleetmeterError as error:
        print(printable(str(error)), file=sys.stderr)
        return 2
    bills, days = len(check.bills), len(check.days)
    result = "\n".join(check.discrepancies) or "every seal holds"
    print(printable(f"{result} ({bills:,} bills, {days:,} days)"))
    for note in check.notes:
        print(printable(note))
    return 1 if check.discrepancies else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
