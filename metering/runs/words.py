"""Describe the result of a run in words, for the console and a terminal."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from metering.catalogue import quantities
from metering.catalogue.quantities import many
from metering.catalogue.sources import SOURCE_LABELS

Result = Mapping[str, Any]
# Not said: they repeat the run's period, or are shown by themselves.
UNSAID = ("preview", "dry_run", "from", "to", "through", "hour", "months")


def describe(result: Result, preview: bool = False) -> str:
    """Describe a result, or the changes of a `preview`; empty if the run did nothing."""
    parts = [_part(name, value, preview) for name, value in result.items() if name not in UNSAID]
    return "; ".join(part for part in parts if part)


def _part(name: str, value: Any, preview: bool) -> str:
    if name == "days_sealed" and preview:
        return f"would seal {many(value, 'day')}" if value else ""
    if value in ({}, [], None):
        return ""
    try:
        return PARTS[name](value)
    except (KeyError, TypeError, ValueError, AttributeError):  # of a job or a version that says other things
        return f"{name.replace('_', ' ')} {_plain(value)}"


def _sources(value: Result) -> str:
    """Return the sources' results with labels: `s3: 22 projects` becomes `S3: 22 projects`."""
    return "; ".join(
        f"{SOURCE_LABELS.get(name, name)}: {str(sentence).removeprefix(f'{name}: ')}"
        for name, sentence in value.items()
    )


def _already_sealed(value: Mapping[str, int]) -> str:
    """Describe days that were sealed before; as one range if their numbers of projects are equal."""
    days = sorted(date.fromisoformat(day) for day in value)
    counts = set(value.values())
    if len(counts) == 1 and (days[-1] - days[0]).days == len(days) - 1:
        return f"sealed already: {quantities.days(days[0], days[-1])}, {many(counts.pop(), 'project')}"
    named = ", ".join(f"{quantities.days(day, day)} ({value[str(day)]:,})" for day in days[:5])
    return f"sealed already: {named}" + (" …" if len(days) > 5 else "")


def _late_rows(value: Mapping[str, int]) -> str:
    if not value.get("days"):
        return ""
    return f"{many(value['days'], 'day')} recounted, {many(value['adjustments'], 'late adjustment')}"


def _removed(value: Mapping[str, int]) -> str:
    rows = [f"{count:,} of {table}" for table, count in value.items() if count]
    return f"removed {', '.join(rows)}" if rows else "nothing to remove"


def _unremoved(value: Mapping[str, str]) -> str:
    return "; ".join(f"{table}: kept {why}" for table, why in value.items())


def _blocked(value: Mapping[str, str]) -> str:
    named = "; ".join(f"{project}: {why}" for project, why in list(value.items())[:3])
    return f"{many(len(value), 'project')} blocked, the first: {named}"


def _projects(value: Mapping[str, Result]) -> str:
    return "; ".join(
        f"project {project}: {describe(part) or 'nothing to do'}" for project, part in value.items()
    )


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(item)}" for name, item in list(value.items())[:5])
    if isinstance(value, list):
        return ", ".join(map(_plain, value[:6]))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


PARTS: Mapping[str, Callable[[Any], str]] = {
    "sources": _sources,
    "days_sealed": lambda value: f"{many(value, 'day')} sealed",
    "already_sealed": _already_sealed,
    "late_rows": _late_rows,
    "anomalies": lambda value: many(value, "unusual day"),
    "closed": lambda value: f"{many(value, 'bill')} closed",
    "blocked": _blocked,
    "removed": _removed,
    "kept": _unremoved,
    "archived": lambda value: f"archived {_plain(value)}",
    "ours": lambda value: f"{value:,} messages counted",
    "theirs": lambda value: f"{value:,} by the broker",
    "restarts": lambda value: f"{many(value, 'restart')} of the broker" if value else "",
    "first_look": lambda value: "first look, nothing to compare with yet" if value else "",
    "projects": _projects,
    "again": describe,
}
