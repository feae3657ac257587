"""The values of a thing before and after, cell by cell."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from console.ui.table import Column

Thing = Mapping[str, Any] | None
COLUMNS = (Column("cell", "Cell"), Column("before", "Before"), Column("after", "After"))
MOST = 6  # differences that a line names


def rows(before: Thing, after: Thing) -> list[dict[str, str | None]]:
    """Return every cell of either, with both values as text; None for an absent cell."""
    old, new = before or {}, after or {}
    return [
        {"cell": _title(name), "before": _text(old, name), "after": _text(new, name)}
        for name in [*new, *(name for name in old if name not in new)]
    ]


def sentences(before: Thing, after: Thing) -> list[str]:
    """Return the changed cells, such as `state: queued → cancelled`; of a new thing its first cells."""
    changed = list(_changed(before, after))
    more = [f"and {len(changed) - MOST} more"] if len(changed) > MOST else []
    return changed[:MOST] + more


def _changed(before: Thing, after: Thing) -> Iterator[str]:
    for row in rows(before, after):
        old, new = row["before"], row["after"]
        if old == new or (not before and new is None):
            continue
        yield f"{row['cell']}: {new}" if not before else f"{row['cell']}: {_or_none(old)} → {_or_none(new)}"


def _or_none(value: str | None) -> str:
    return "none" if value is None else value


def _title(name: str) -> str:
    return name.replace("_", " ")


def _text(thing: Mapping[str, Any], name: str) -> str | None:
    value = thing.get(name)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
