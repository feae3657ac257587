"""Hashes of exported rows, computed from their cells alone (docs/proof.md specifies them)."""

import hashlib
import json
from collections.abc import Mapping
from decimal import InvalidOperation
from typing import Any

from metering.catalogue import forms
from metering.catalogue.forms import Sealed
from metering.exports.columns import DAILY_COLUMNS, MONTHLY_COLUMNS, Kind

Row = Mapping[str, str]
WRONG = (ValueError, KeyError, TypeError, AttributeError, InvalidOperation)  # of a cell that was rewritten

_KINDS: dict[str, Kind] = {column.name: column.kind for column in (*MONTHLY_COLUMNS, *DAILY_COLUMNS)}


def canonical(value: Any) -> str:
    """Return canonical JSON: keys in order, no white space, no escapes but JSON's own."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(form: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as 64 lower-case hex digits."""
    return hashlib.sha256(form.encode()).hexdigest()


def export_hash(cells: Row) -> str:
    """Return the SHA-256 of the canonical form of a whole exported row, every value a text."""
    return sha256(canonical({name: cell for name, cell in cells.items() if name != "export_hash"}))


def form_of(row: Row) -> int:
    """Return the form of a row; a file without the column is of form 1. Raises ValueError."""
    return int(row.get("form", "1"))


def sealed(row: Row) -> dict[str, Any]:
    """Return the columns of the row's form as JSON values: money as text, unknown as None.

    Raises ValueError or another of WRONG if a cell is not as it was written, or if a column is missing.
    """
    table: Sealed = "monthly_stats" if "seal" in row else "daily_stats"
    names = forms.columns(table, form_of(row))
    missing = [name for name in names if name not in row]
    if missing:
        raise ValueError(f"the column {missing[0]} is missing")
    return {name: _value(_KINDS[name], row[name]) for name in names}


def _value(kind: Kind, cell: str) -> Any:
    if kind == "integer":
        return int(cell) if cell else None
    if kind == "money":
        return cell.replace(",", ".")
    return json.loads(cell) if kind == "json" else cell


def row_hash(row: Row) -> str:
    """Return the hash of an exported day, from its cells."""
    return sha256(canonical(sealed(row)))


def seal(row: Row) -> str:
    """Return the seal of an exported bill, from its cells."""
    return sha256("\n".join([row["previous_seal"], *row["day_hashes"].split(), canonical(sealed(row))]))
