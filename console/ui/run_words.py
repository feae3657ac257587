"""A job run in words: its state, what was asked for, what came of it."""

from collections.abc import Mapping
from typing import Any

from console.ui import escape, format
from console.ui.cells import SENTENCE
from metering.catalogue.sources import SOURCE_LABELS
from metering.runs.outcome import left_out

LOOKS = {
    "queued": (":material/hourglass_empty:", "gray", "Queued"),
    "running": (":material/autorenew:", "blue", "Running"),
    "succeeded": (":material/check_circle:", "green", "Succeeded"),
    "failed": (":material/error:", "orange", "Failed"),
    "cancelled": (":material/block:", "gray", "Cancelled"),
    "dead": (":material/dangerous:", "red", "Dead letter"),
}


def look(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return icon, colour and label of a run's state; the label counts what the run left out."""
    if run.get("dry_run") and run["state"] == "succeeded":
        return ":material/visibility:", "violet", "Preview"
    missing = left_out(run["result"] or {}, run["errors"] or ())
    if run["state"] == "succeeded" and missing:
        return ":material/warning:", "orange", f"Succeeded, {missing} left out"
    return LOOKS[run["state"]]


def title(run: Mapping[str, Any]) -> str:
    """Return the job, its period and its project as Markdown."""
    scope = "" if run["project_id"] is None else f" · project {run['project_id']}"
    preview_of = "Preview: " if run["dry_run"] else ""
    return f"{preview_of}{escape.markdown(run['job'])} {escape.markdown(run['period'])}{scope}"


def detail(run: Mapping[str, Any]) -> str:
    """Who asked, how long it took, what came of it, as Markdown."""
    parts = [f"run {run['id']}", f"triggered by {escape.markdown(run['requested_by'])}"]
    if run["finished_at"] and run["seconds"] is not None:
        parts.append(f"took {format.duration(run['seconds'])}")
    if sentence := outcome(run):
        parts.append(escape.markdown(sentence, SENTENCE))
    return " · ".join(part for part in parts if part)


# What a run did to how many of what: after it, and in a preview.
COUNTED = {
    "days_sealed": ("sealed", "seal", "day"),
    "bills": ("closed", "close", "bill"),
    "closed": ("closed", "close", "bill"),
    "anomalies": ("found", "find", "unusual value"),
    "late_rows": ("adjusted", "adjust", "late row"),
}


def outcome(run: Mapping[str, Any]) -> str:
    """Return the sentence of a run's end: its result or last error, and how many it left out."""
    errors = [
        str(error.get("error", "")) if isinstance(error, dict) else str(error) for error in run["errors"]
    ]
    if run["state"] != "succeeded":
        return errors[-1] if errors else ""
    is_preview = bool(run.get("dry_run"))
    done = "; ".join(
        _did(key, value, is_preview)
        for key, value in (run["result"] or {}).items()
        if value not in ({}, [], None) and key not in ("preview", "dry_run")
    )
    if is_preview:
        return f"Preview, nothing was changed: {done}" if done else "Preview: nothing to do"
    if errors:
        done += f"; {format.many(len(errors), 'failure')}, the first: {errors[0]}"
    return done or "nothing to do"


def _did(key: str, value: Any, is_preview: bool) -> str:
    if key in COUNTED and isinstance(value, int):
        done, would, noun = COUNTED[key]
        return (
            f"would {would} {format.many(value, noun)}"
            if is_preview
            else f"{format.many(value, noun)} {done}"
        )
    what = key.replace("_", " ")
    if key == "sources" and isinstance(value, Mapping):
        return "; ".join(_source(str(name), str(said)) for name, said in value.items())
    if isinstance(value, Mapping):
        return f"{what}: " + ", ".join(f"{name} {item}" for name, item in list(value.items())[:5])
    if isinstance(value, list):
        return f"{what} {', '.join(str(item) for item in value[:6])}"
    return f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}"


def _source(name: str, said: str) -> str:
    return f"{SOURCE_LABELS.get(name, name)}: {said.removeprefix(f'{name}: ')}"
