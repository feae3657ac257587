"""Runs as they go: what was asked for, how far it is, what came of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from console.data.queries import runs
from console.data.transactions import read_transaction
from console.ui import error_boundary, escape, format
from console.ui.table import SENTENCE, Column, table
from metering.runs.outcome import left_out

PARTS = {
    "rows": "Rows added (negative: removed)",
    "usage": "Usage",
    "money": "Billed",
    "month_to_date": "Change of the running month's charge",
}
PROJECTS = (
    Column("project_id", "Project", "id"),
    Column("days", "Days sealed", "count"),
    Column("bills", "Bills", "count"),
    Column("charge", "Charge"),
    Column("currency", "Currency"),
)
NEXT_BILLS = (
    Column("project_id", "Project", "id"),
    Column("month", "Month"),
    Column("days", "Days", "count"),
    Column("charge", "Charge"),
    Column("currency", "Currency"),
)
ALERTS = (
    Column("subject", "Subject", "name"),
    Column("project_id", "Project", "id"),
    Column("kind", "Kind"),
    Column("severity", "Severity"),
)

OVER = ("succeeded", "failed", "cancelled", "dead")
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


def badge(run: Mapping[str, Any]) -> None:
    """Render a run's state: icon, colour and word."""
    icon, colour, label = look(run)
    st.badge(label, icon=icon, color=colour)  # type: ignore[arg-type]


def follow(key: str) -> None:
    """Show the runs that this page asked for under `key`, until and after they end."""
    run_ids = st.session_state.get(f"followed-{key}", [])
    if not run_ids:
        return
    with st.container(border=True):
        if st.session_state.get(f"over-{key}") == run_ids:
            _render(_find(run_ids))
        else:
            _watch(key, run_ids)


def started(key: str, run_ids: Sequence[int]) -> None:
    """From now on `follow(key)` shows these runs."""
    st.session_state[f"followed-{key}"] = list(run_ids)
    st.session_state.pop(f"over-{key}", None)


@st.fragment(run_every=1)
@error_boundary.guarded
def _watch(key: str, run_ids: list[int]) -> None:
    followed = _find(run_ids)
    _render(followed)
    if all(run["state"] in OVER for run in followed):
        st.session_state[f"over-{key}"] = run_ids
        st.cache_data.clear()
        st.rerun()  # the figures around it have changed


def _find(run_ids: Sequence[int]) -> list[Mapping[str, Any]]:
    with read_transaction() as page:
        return [run for run in (runs.find(page.connection, number) for number in run_ids) if run]


def _render(rows: Sequence[Mapping[str, Any]]) -> None:
    for run in rows:
        line(run)


def line(run: Mapping[str, Any]) -> None:
    """One run: what, state, progress or result."""
    with st.container(horizontal=True, vertical_alignment="center"):
        badge(run)
        st.markdown(f"**{title(run)}**", width="content")
        st.caption(detail(run), width="stretch")
    if run["dry_run"] and "preview" in (run["result"] or {}):
        preview(run["result"]["preview"])
    if run["state"] == "running":
        done, total = run["progress"].get("done", 0), run["progress"].get("total", 0)
        what = escape.markdown(str(run["progress"].get("what", "working")))
        text = f"{what} · {done:,} of {total:,}" if total else "starting"
        st.progress(min(1.0, done / total) if total else 0.0, text=text)


def preview(changes: Mapping[str, Any]) -> None:
    """Render what the run would change: rows, usage and money, then by project."""
    rows = [
        {
            "what": f"{label}: {name.replace('_', ' ')}",
            "by": f"{value:,}" if isinstance(value, int) else value,
        }
        for part, label in PARTS.items()
        for name, value in changes[part].items()
        if value
    ]
    st.caption("Nothing was changed. The run would do exactly this:" if rows else "Nothing would change.")
    if rows:
        table(
            rows, (Column("what", "What"), Column("by", "Would be")), "preview", "What the run would change"
        )
    if "next_close" in changes:
        _next_close(changes["next_close"])
    if changes.get("alerts"):
        with st.expander(f"The first {format.many(len(changes['alerts']), 'alert')}"):
            table(changes["alerts"], ALERTS, "preview-alerts", "Alerts that the run would open")
    if changes["projects"]:
        with st.expander(f"The first {format.many(len(changes['projects']), 'project')}"):
            table(changes["projects"], PROJECTS, "preview-projects", "What would change, by project")


def _next_close(close: Mapping[str, Any]) -> None:
    sums = ", ".join(f"{total} {currency}" for currency, total in close["money"].items())
    st.caption(
        f"The next close makes {format.many(close['count'], 'bill')}: {sums}."
        if close["count"]
        else "The next close bills nothing."
    )
    if close["bills"]:
        with st.expander(f"The first {format.many(len(close['bills']), 'bill')}"):
            table(close["bills"], NEXT_BILLS, "preview-bills", "Bills that the next close makes")


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


def outcome(run: Mapping[str, Any]) -> str:
    """Return the sentence of a run's end: its result or last error, and how many it left out."""
    errors = [
        str(error.get("error", "")) if isinstance(error, dict) else str(error) for error in run["errors"]
    ]
    done = "; ".join(
        _did(key, value)
        for key, value in (run["result"] or {}).items()
        if value not in ({}, []) and key not in ("preview", "dry_run")
    )
    if run["state"] != "succeeded":
        return errors[-1] if errors else ""
    if errors:
        done += f" ({format.many(len(errors), 'failure')}, the first: {errors[0]})"
    if run.get("dry_run"):
        return f"Preview, nothing was changed; it would do: {done}" if done else "Preview: nothing to do"
    return done or "nothing to do"


def _did(key: str, value: Any) -> str:
    what = key.replace("_", " ")
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {item}" for name, item in list(value.items())[:5])
    if isinstance(value, list):
        return f"{what} {', '.join(str(item) for item in value[:6])}"
    return f"{what} {value:,}" if isinstance(value, int) else f"{what} {value}"
