"""A job run in words: its state, request and result."""

from collections.abc import Mapping
from typing import Any

from console.ui import escape, format
from console.ui.cells import SENTENCE
from metering.runs import words
from metering.runs.outcome import left_out

LOOKS = {
    "queued": (":material/hourglass_empty:", "gray", "Queued"),
    "running": (":material/autorenew:", "blue", "Running"),
    "succeeded": (":material/check_circle:", "green", "Succeeded"),
    "left_out": (":material/warning:", "orange", "Left out"),
    "failed": (":material/error:", "orange", "Failed"),
    "cancelled": (":material/block:", "gray", "Cancelled"),
    "dead": (":material/dangerous:", "red", "Dead letter"),
}


def look(run: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return icon, colour and label of a run's state; the label counts the left out parts."""
    if run.get("dry_run") and run["state"] == "succeeded":
        return ":material/visibility:", "violet", "Preview"
    missing = left_out(run["result"] or {}, run["errors"] or ())
    if run["state"] == "succeeded" and missing:
        return *LOOKS["left_out"][:2], f"Succeeded, {missing} left out"
    return LOOKS[run["state"]]


def title(run: Mapping[str, Any]) -> str:
    """Return the job, its period and its project as Markdown."""
    scope = "" if run["project_id"] is None else f" · project {run['project_id']}"
    preview_of = "Preview: " if run["dry_run"] else ""
    return f"{preview_of}{escape.markdown(run['job'])} {escape.markdown(run['period'])}{scope}"


def detail(run: Mapping[str, Any]) -> str:
    """Return the requester, duration and result of a run, as Markdown."""
    parts = [f"run {run['id']}", f"triggered by {escape.markdown(run['requested_by'])}"]
    if run["finished_at"] and run["seconds"] is not None:
        parts.append(f"took {format.duration(run['seconds'])}")
    if sentence := outcome(run):
        parts.append(escape.markdown(sentence, SENTENCE))
    return " · ".join(part for part in parts if part)


def outcome(run: Mapping[str, Any]) -> str:
    """Return the result of a run as a sentence: its summary or last error, and how many it left out."""
    errors = [
        str(error.get("error", "")) if isinstance(error, dict) else str(error) for error in run["errors"]
    ]
    if run["state"] != "succeeded":
        return errors[-1] if errors else ""
    is_preview = bool(run.get("dry_run"))
    summary = words.describe(run["result"] or {}, is_preview)
    if is_preview:
        return f"Preview, nothing was changed: {summary}" if summary else "Preview: nothing to do"
    if errors:
        summary = "; ".join(filter(None, [summary, f"{len(errors)} left out, the first: {errors[0]}"]))
    return summary or "nothing to do"
