"""The states of limits as every page shows them."""

from collections.abc import Mapping
from typing import Any

from console.ui import format, states
from console.ui.states import State

HARD = State("▲", "red", "over a hard limit")
SHOWN = {
    "ok": states.WITHIN,
    "near": states.NEAR,
    "over": states.OVER,
    "hard": HARD,
    "unknown": states.UNKNOWN,
}


def shown(row: Mapping[str, Any]) -> State:
    """Return the state of a limit; at exactly what is included it says so, and alerts as well."""
    if row["state"] == "over" and row["used"] == row["included"]:
        return states.AT_LIMIT
    return SHOWN[row["state"]]


def words(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a row of usage against an allowance shows beside its numbers."""
    unit = format.unit_label(row["unit"])
    return {"shown": shown(row), "unit": unit, "kind": beyond(row), "end": reached(row)}


def beyond(row: Mapping[str, Any]) -> str:
    """Say what happens beyond an allowance: the backend may ask about a hard limit, nothing is refused.

    Also that the allowance is not all of what the plan includes, since the month is not a whole one.
    """
    part = "; in proportion" if row.get("in_proportion") else ""
    if not row["hard"]:
        return f"is charged{part}"
    is_past = row["used"] is not None and row["used"] > row["included"]
    return ("hard limit; not enforced: still counting" if is_past else "hard limit") + part


def reached(row: Mapping[str, Any]) -> str:
    """Say when an allowance will be exhausted, or why no day can be named. As text it sorts by the day."""
    if row["used"] is None:
        return "unknown"
    if row["exhausted_at"] is not None:
        return f"reaches 100 % on {row['exhausted_at']:%Y-%m-%d}"
    if row["state"] in ("over", "hard"):
        return "reached"
    return "not projected yet" if row["projected"] is None else "lasts the month"
