"""How commands print results: a table for people, JSON for programs, progress on standard error."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

Advance = Callable[[str, int, int], None]


def as_json(out: Console, value: object) -> None:
    """Print sorted JSON, dates in ISO form, nothing wrapped or coloured."""
    out.file.write(json.dumps(value, indent=2, sort_keys=True, default=_plain) + "\n")


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@contextmanager
def progress(err: Console) -> Iterator[Advance]:
    """Yield a function that draws a progress bar: a label, how many are finished, how many in all."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)

        def advance(what: str, finished: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=finished, total=total or None)

        yield advance


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Return rows as a table; None is printed as unknown, which is not zero."""
    result = Table(title=escape(title), title_justify="left", header_style="bold")
    for name in rows[0] if rows else ():
        result.add_column(escape(name))
    for row in rows:
        result.add_row(*(_cell(value) for value in row.values()))
    return result


def _cell(value: object) -> str:
    if value is None:
        return "[dim]unknown[/dim]"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(value)[:200])


def record(out: Console, value: Any, json_format: bool) -> None:
    """Print a dataclass, a line for each field."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if json_format:
        as_json(out, {name: str(item) for name, item in fields.items()})
        return
    for name, item in fields.items():
        out.print(f"{name}: {item}", markup=False)
