"""The description of a table's columns, for the grid, the plain table and the cards."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal[
    "text", "name", "id", "count", "bytes", "money", "percent", "seconds", "date", "instant", "age", "state"
]
NUMBERS: tuple[Kind, ...] = ("count", "bytes", "money", "percent", "seconds")


@dataclass(frozen=True)
class Column:
    """A column: the row's key, its heading, and the kind of its value.

    `name` is chosen by outsiders; `percent` is a fraction, 1.0 for 100 %; `state` holds a
    `states.StatusLabel`; `age` an instant shown as "3 h ago". `link` returns the address of a row's cell.
    `narrow` is the cell's place in a card on a phone; without it the first name is the title and the first
    number the figure.
    """

    key: str
    label: str
    kind: Kind = "text"
    help: str | None = None
    link: Callable[[Mapping[str, Any]], str | None] | None = None
    narrow: Literal["title", "figure", "detail", "hidden"] | None = None
    width: int | Literal["small", "medium", "large"] | None = None
    wide: bool = True
