"""The states of limits as every page shows them."""

from collections.abc import Mapping
from typing import Any

from console.ui import format, states
from console.ui.states import StatusLabel

HARD = StatusLabel("▲", "red", "over a hard limit")
LABELS = {
    "ok": states.WITHIN,
    "near": states.NEAR,
    "over": states.OVER,
    "hard": HARD,
    "unknown": states.UNKNOWN,
}


def label(row: Mapping[str, Any]) -> StatusLabel:
    """Return the label of a limit's state; use of exactly the allowance has a label of its own."""
    if row["state"] == "over" and row["used"] == row["included"]:
        return states.AT_LIMIT
    return LABELS[row["state"]]


def words(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the texts of a row of usage against an allowance, beside its numbers."""
    unit = format.unit_label(row["unit"])
    return {"shown": label(row), "unit": unit, "kind": beyond(row), "end": reached(row)}


def beyond(row: Mapping[str, Any]) -> str:
    """Return the consequence of use beyond an allowance.

    The backend may ask about a hard limit; nothing is refused. The text also says when the allowance is in
    proportion to a part of the month.
    """
    part = "; in proportion" if row.get("in_proportion") else ""
    if not row["hard"]:
        return f"is charged{part}"
    is_past = row["used"] is not None and row["used"] > row["included"]
    return ("hard limit; not enforced: still counting" if is_past else "hard limit") + part


def reached(row: Mapping[str, Any]) -> str:
    """Return when an allowance will be exhausted, or why no day can be named; as text it sorts by the day."""
    if row["used"] is None:
        return "unknown"
    if row["exhausted_at"] is not None:
        return f"reaches 100 % on {row['exhausted_at']:%Y-%m-%d}"
    if row["state"] in ("over", "hard"):
        return "reached"
    return "not projected yet" if row["projected"] is None else "lasts the month"
