"""Print runs: the result or preview of one, and lists of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from fleetmeter.cli import output
from metering.alerts import titles
from metering.runs import pauses
from metering.runs.lease import ATTEMPTS
from metering.runs.outcome import Outcome, label
from metering.runs.pauses import Pause


def outcome(out: Console, result: Outcome, json_format: bool) -> None:
    """Print the result of a run, or its preview."""
    if json_format:
        output.as_json(out, dataclasses.asdict(result))
        return
    out.print(result.sentence, markup=False, soft_wrap=True)
    if result.result.get("blocked"):
        out.print("accept a gap with: fleetmeter accept-gap ID --reason TEXT", markup=False)
    if "preview" in result.result:
        _preview(out, result.result["preview"])


def _preview(out: Console, preview: Mapping[str, Any]) -> None:
    rows = [
        {"would change": name.replace("_", " "), "what": what, "by": by}
        for name in ("rows", "usage", "money", "month_to_date")
        for what, by in preview[name].items()
        if by
    ]
    out.print(output.table("Dry run: nothing was changed", rows) if rows else "nothing would change")
    if preview["projects"]:
        out.print(output.table(f"Projects (the first {len(preview['projects'])})", preview["projects"]))
    if "next_close" in preview:
        _next_close(out, preview["next_close"])
    if preview.get("alerts"):
        rows = [{"severity": alert["severity"], "what": titles.title(alert)} for alert in preview["alerts"]]
        out.print(output.table(f"Incidents that it would open (the first {len(rows)})", rows))


def _next_close(out: Console, bills: Mapping[str, Any]) -> None:
    if not bills["count"]:
        out.print("the next close bills nothing")
        return
    sums = ", ".join(f"{total} {currency}" for currency, total in bills["money"].items())
    title = f"The next close makes {bills['count']:,} bills, {sums} (the first {len(bills['bills'])})"
    out.print(output.table(title, bills["bills"]))


def history(out: Console, runs: Sequence[Mapping[str, Any]], json_format: bool) -> None:
    """Print runs, a row for each: who asked, its state, when it ended."""
    if json_format:
        output.as_json(out, [dict(row) for row in runs])
        return
    rows = [
        {
            "run": row["id"],
            "job": row["job"] + (" (preview)" if row["dry_run"] else ""),
            "period": row["period"],
            "project": "all" if row["project_id"] is None else row["project_id"],
            "state": _state(row),
            "triggered by": row["requested_by"],
            "ended": row["finished_at"] or "",
        }
        for row in runs
    ]
    out.print(output.table("runs", rows) if rows else "No job has run yet.")


def _state(row: Mapping[str, Any]) -> str:
    """Return a run's state in words: omissions, progress, attempts and the next attempt."""
    state, progress = label(row["state"], row["result"], row["errors"]), row["progress"] or {}
    if row["state"] == "running" and progress.get("total"):
        state += f", {progress['what']} {progress['done']:,} of {progress['total']:,}"
    if row["lost_workers"]:
        state += f", {row['lost_workers']} workers lost"
    if row["failed_attempts"]:
        state += f", attempt {row['failed_attempts']} of {ATTEMPTS} failed"
        if row["state"] == "queued":
            state += f", next at {row['next_attempt_at']:%H:%M:%S}Z"
    return state


def paused(out: Console, current: Sequence[Pause]) -> None:
    """Print the jobs that the schedule leaves out, a line each."""
    for pause in current:
        out.print(pauses.sentence(pause), markup=False, soft_wrap=True)
