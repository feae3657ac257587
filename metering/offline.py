"""Verify exported months with nothing but their files: `python -m metering.offline FILE...`

Takes the CSV, in any of its styles, or the JSON of `fleetmeter export monthly` and, where they are
given, of `fleetmeter export daily`. docs/proof.md specifies what is checked, in any language's terms.
"""

import csv
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from metering import sheets
from metering.errors import FleetmeterError
from metering.meters import COUNTER_NAMES, GAUGE_NAMES

Row = Mapping[str, str]
Bills = dict[tuple[int, int, int], Row]
Days = dict[tuple[int, str], Row]

NUMBERS = {"project_id", "organization_id", "year", "month", "day", "days_present", "days_expected"}
NUMBERS |= {*COUNTER_NAMES, *GAUGE_NAMES, *(f"peak_{name}" for name in GAUGE_NAMES)}
MONEY = ("plan_fee", "overage_charge", "adjustment_charge", "total_charge")
JSON = ("exceeded_limits", "coverage")
# For people, or not part of what is hashed.
APART = (
    *("organization_name", "project_name", "created_at"),
    *("seal", "row_hash", "day_hashes", "export_hash"),
)
WRONG = (ValueError, KeyError, TypeError, AttributeError, InvalidOperation)  # of a cell that was rewritten


def canonical(value: Any) -> str:
    """Canonical JSON: keys in order, no white space, no escapes but JSON's own."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(form: str) -> str:
    return hashlib.sha256(form.encode()).hexdigest()


def verify(paths: Iterable[Path]) -> tuple[dict[str, int], list[str]]:
    """Rows checked, by kind, and a sentence for each discrepancy. Raises FleetmeterError."""
    bills, days, found = read(paths)
    found += [*_broken_days(days), *_broken_bills(bills), *_broken_chain(bills), *_unlike(bills, days)]
    return {"bills": len(bills), "days": len(days)}, found


def read(paths: Iterable[Path]) -> tuple[Bills, Days, list[str]]:
    """Bills and days by their keys, and a sentence for each row that is no such row."""
    bills: Bills = {}
    days: Days = {}
    found = []
    for path in paths:
        for number, row in enumerate(_rows(path), 1):
            try:
                _keep(row, bills, days)
            except WRONG as error:
                found.append(f"{path.name}, row {number}: it was rewritten ({error})")
    return bills, days, found


def _keep(row: Row, bills: Bills, days: Days) -> None:
    project = int(row["project_id"])
    if "seal" in row:
        month = (project, int(row["year"]), int(row["month"]))
        if bills.setdefault(month, row) != row:
            raise ValueError(f"a second bill of project {project} for {month[1]}-{month[2]:02d}")
    elif int(row["year"]) and int(row["month"]) and days.setdefault((project, row["date"]), row) != row:
        raise ValueError(f"a second {row['date']} of project {project}")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = sheets.read(stream)
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or f"it is no CSV or JSON in UTF-8: {error}"
        raise FleetmeterError(f"{path} cannot be read: {reason}") from error
    if not rows:
        raise FleetmeterError(f"{path} holds no rows; there is nothing to verify")
    required = {"project_id", "seal", "day_hashes"}, {"project_id", "date", "row_hash"}
    if not any(names <= set(rows[0]) for names in required):
        raise FleetmeterError(f"{path} is no export of months or days: columns are missing")
    return rows


def export_hash(cells: Row) -> str:
    """SHA-256 of the canonical form of a whole row as it is exported, every value a text."""
    return sha256(canonical({name: cell for name, cell in cells.items() if name != "export_hash"}))


def sealed(row: Row) -> dict[str, Any]:
    """What is hashed of a row: its columns as JSON values, money as text, unknown as null."""
    return {name: _value(name, cell) for name, cell in row.items() if name not in APART}


def _value(name: str, cell: str) -> Any:
    if name in NUMBERS:
        return int(cell) if cell else None
    if name in MONEY:
        return cell.replace(",", ".")
    return json.loads(cell) if name in JSON else cell


def _broken_days(days: Days) -> Iterator[str]:
    for (project, date), row in days.items():
        where = f"project {project}, {date}"
        try:
            if sha256(canonical(sealed(row))) != row["row_hash"]:
                yield f"{where}: the day is not as it was sealed (row_hash)"
        except WRONG as error:
            yield f"{where}: the day is not as it was sealed: a cell was rewritten ({error})"
        yield from _rewritten(where, row)


def _rewritten(where: str, row: Row) -> Iterator[str]:
    plain = {name: cell.replace(",", ".") if name in MONEY else cell for name, cell in row.items()}
    if export_hash(plain) != row.get("export_hash", export_hash(plain)):
        yield f"{where}: the row is not as it was exported (export_hash)"


def _broken_bills(bills: Bills) -> Iterator[str]:
    for (project, year, month), row in bills.items():
        where = f"project {project}, {year}-{month:02d}"
        try:
            yield from _broken_bill(where, row)
        except WRONG as error:
            yield f"{where}: the month is not as it was sealed: a cell was rewritten ({error})"
        yield from _rewritten(where, row)


def _broken_bill(where: str, row: Row) -> Iterator[str]:
    lines = [row["previous_seal"], *row["day_hashes"].split(), canonical(sealed(row))]
    if sha256("\n".join(lines)) != row["seal"]:
        yield f"{where}: the month is not as it was sealed (seal)"
    fee, overage, adjusted, total = (Decimal(row[name].replace(",", ".")) for name in MONEY)
    charges = sum(Decimal(line["charge"]) for line in json.loads(row["exceeded_limits"]))
    if fee + overage + adjusted != total or charges != overage:
        yield f"{where}: the bill does not add up"


def _broken_chain(bills: Bills) -> Iterator[str]:
    for (project, year, month), row in bills.items():
        before = bills.get((project, year - (month == 1), (month - 2) % 12 + 1))
        if before and before["seal"] != row["previous_seal"]:
            where = f"project {project}, {year}-{month:02d}"
            yield f"{where}: it does not follow the month before (previous_seal)"


def _unlike(bills: Bills, days: Days) -> Iterator[str]:
    """Where days are given too: the ones that a bill was made of are those, and no others."""
    hashes: dict[tuple[int, int, int], list[str]] = {}
    for (project, _), row in sorted(days.items()):
        hashes.setdefault((project, int(row["year"]), int(row["month"])), []).append(row["row_hash"])
    for key, found in hashes.items():
        if key in bills and bills[key]["day_hashes"].split() != found:
            project, year, month = key
            yield f"project {project}, {year}-{month:02d}: these are not the days that it was made of"


def main(arguments: list[str]) -> int:
    """Print what was checked and found; 0 sound, 1 not, 2 nothing to check."""
    if not arguments:
        print("usage: python -m metering.offline MONTHLY.csv|json [DAILY.csv|json ...]", file=sys.stderr)
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
