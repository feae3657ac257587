"""How commands show their results: a table for people, JSON for programs, progress on the side."""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from metering.alerts import backlog
from metering.catalogue.periods import Day
from metering.days.coverage import MissingDay
from metering.days.coverage_hours import HourCell
from metering.db import clock
from metering.errors import PeriodError
from metering.proof.verify import Report
from metering.runs.lease import ATTEMPTS
from metering.runs.outcome import label

if TYPE_CHECKING:  # both are slow to import
    from fleetmeter.doctor import Finding
    from metering.runs.outcome import Outcome

FIRST = 20  # periods of a catch-up plan shown one by one

Advance = Callable[[str, int, int], None]


def as_json(out: Console, value: object) -> None:
    """Sorted JSON, dates in ISO form, nothing wrapped or coloured."""
    out.file.write(json.dumps(value, indent=2, sort_keys=True, default=_plain) + "\n")


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@contextmanager
def progress(err: Console) -> Iterator[Advance]:
    """A bar on standard error, called with what is being done, done and total."""
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

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, description=escape(what), completed=done, total=total or None)

        yield advance


def table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows as a table; None shows as unknown, which is not zero."""
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


def record(out: Console, value: Any, json_wanted: bool) -> None:
    """One dataclass, a line for each field."""
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if json_wanted:
        as_json(out, {name: str(item) for name, item in fields.items()})
        return
    for name, item in fields.items():
        out.print(f"{name}: {item}", markup=False)


def outcome(out: Console, result: "Outcome", json_wanted: bool) -> None:
    """What a run did, or would do."""
    if json_wanted:
        as_json(out, dataclasses.asdict(result))
        return
    out.print(result.sentence, markup=False, soft_wrap=True)
    if "preview" in result.result:
        _preview(out, result.result["preview"])


def _preview(out: Console, found: Mapping[str, Any]) -> None:
    rows = [
        {"would change": name.replace("_", " "), "what": what, "by": by}
        for name in ("rows", "usage", "money", "month_to_date")
        for what, by in found[name].items()
        if by
    ]
    out.print(table("Preview: nothing was changed", rows) if rows else "nothing would change")
    if found["projects"]:
        out.print(table(f"Projects (the first {len(found['projects'])})", found["projects"]))
    if "next_close" in found:
        _next_close(out, found["next_close"])
    if found.get("alerts"):
        rows = [{name: _said(name, alert[name]) for name in alert} for alert in found["alerts"]]
        out.print(table(f"Alerts (the first {len(rows)})", rows))


def _next_close(out: Console, found: Mapping[str, Any]) -> None:
    if not found["count"]:
        out.print("the next close bills nothing")
        return
    sums = ", ".join(f"{total} {currency}" for currency, total in found["money"].items())
    title = f"The next close makes {found['count']:,} bills, {sums} (the first {len(found['bills'])})"
    out.print(table(title, found["bills"]))


def runs(out: Console, found: Sequence[Mapping[str, Any]], json_wanted: bool) -> None:
    """Runs, a row for each; who asked, how far it is, and its first failure."""
    if json_wanted:
        as_json(out, [dict(row) for row in found])
        return
    rows = [
        {
            "run": row["id"],
            "job": row["job"] + (" (dry run)" if row["dry_run"] else ""),
            "period": row["period"],
            "project": "all" if row["project_id"] is None else row["project_id"],
            "state": _state(row),
            "asked by": row["requested_by"],
            "ended": row["finished_at"] or "",
        }
        for row in found
    ]
    out.print(table("runs", rows) if rows else "No job has run yet.")


def _state(row: Mapping[str, Any]) -> str:
    """State, failures, how far it is, attempts and the next one."""
    state, done = label(row["state"], row["result"], row["errors"]), row["progress"] or {}
    if row["state"] == "running" and done.get("total"):
        state += f", {done['what']} {done['done']:,} of {done['total']:,}"
    if row["lost_workers"]:
        state += f", {row['lost_workers']} workers lost"
    if row["failed_attempts"]:
        state += f", attempt {row['failed_attempts']} of {ATTEMPTS} failed"
        if row["state"] == "queued":
            state += f", next at {row['next_attempt_at']:%H:%M:%S}Z"
    return state


def missing(out: Console, found: list[MissingDay], first: Day, last: Day, json_wanted: bool) -> None:
    """The missing days, a row for each."""
    rows = [dataclasses.asdict(day) for day in found]
    if json_wanted:
        as_json(out, {"from": str(first), "to": str(last), "missing": rows})
    elif rows:
        out.print(table(f"{len(rows)} missing days, {first} to {last}", rows))
        out.print("Repair them with: fleetmeter backfill --from DAY --to DAY [--project ID]")
    else:
        out.print(f"No day is missing from {first} to {last}.")


def hour_coverage(out: Console, cells: Sequence[HourCell], json_wanted: bool) -> None:
    """A row for each hour, a column for each source: its state, and the reason where there is one."""
    if json_wanted:
        as_json(out, [dataclasses.asdict(cell) for cell in cells])
        return
    rows: dict[datetime, dict[str, object]] = {}
    for cell in cells:
        reason = cell.detail.get("reason")
        row = rows.setdefault(cell.hour, {"hour": f"{cell.hour:%Y-%m-%d %H:%M}Z"})
        row[cell.source] = f"{cell.state}: {reason}" if reason else cell.state
    out.print(table("coverage", list(rows.values())) if rows else "The project was not metered on that day.")


def verification(out: Console, report: Report, json_wanted: bool) -> None:
    """Each law with how many rows it was checked on, then what breaks it."""
    if json_wanted:
        as_json(out, report.as_json())
        return
    broken = {discrepancy.law for discrepancy in report.discrepancies}
    for law, rows in report.checked.items():
        mark = "[red]broken[/red]" if law in broken else "[green]holds[/green]"
        out.print(f"{mark}  {law} ({rows:,} rows)")
    for discrepancy in report.discrepancies:
        out.print(f"  {discrepancy}", markup=False, style="red")
    out.print(
        "Every law holds."
        if report.sound
        else f"{len(report.discrepancies)} discrepancies; the figures above are not to be trusted."
    )


def findings(out: Console, found: Sequence["Finding"]) -> None:
    """The doctor's findings: what was checked, what was found, what to do."""
    for finding in found:
        mark = "[green]ok[/green]  " if finding.ok else "[red]fix[/red] "
        out.print(f"{mark} [bold]{finding.checked}[/bold]: {escape(finding.found)}")
        if finding.advice:
            out.print(f"      {escape(finding.advice)}")


def status(out: Console, found: Mapping[str, Any], json_wanted: bool) -> None:
    """The status, section by section."""
    if json_wanted:
        as_json(out, found)
        return
    out.print(f"as of {found['at']:%Y-%m-%d %H:%M:%S} UTC")
    out.print(clock.sentence(timedelta(seconds=found["clock_difference_seconds"])))
    sources = [{"source": name, **row} for name, row in found["sources"].items()]
    sections = {
        "workers": found["workers"],
        "sources": sources,
        "last run of each job": found["jobs"],
        "open gaps": found["open_gaps"],
        "broker's own count": found["reconciliation"],
        "unattributed messages, last 24 h": found["unattributed_messages_last_24_h"],
    }
    for title, rows in sections.items():
        out.print(table(title, rows) if rows else f"{title}: none")
    out.print(f"queue: {found['queue']['queued']} queued, {found['queue']['running']} running")
    out.print("catch-up: " + (backlog.summary(found["catch_up"]) or "nothing is behind"), soft_wrap=True)
    if len(found["catch_up"]) > 1:
        out.print(table(f"the first {FIRST} of the plan", found["catch_up"][:FIRST]))
    out.print(f"missing days of the last 30: {found['missing_days_last_30']}")
    _months(out, found["months"])


def _months(out: Console, months: Mapping[str, Any]) -> None:
    for month, state in months.items():
        if state.get("running"):
            out.print(f"{month}: running")
        elif state["blocked"]:
            out.print(f"{month}: open, blocked for {len(state['blocked'])} projects:")
            for project, reason in list(state["blocked"].items())[:20]:
                out.print(f"  project {project}: {reason}", markup=False)
        else:
            out.print(f"{month}: over and not closed; run: fleetmeter run monthly")


def day_range(first: str | None, last: str | None, now: datetime) -> tuple[Day, Day]:
    """The days of `--from` and `--to`: by default the thirty days before today."""
    end = Day.parse(last) if last else Day.of(now).previous()
    start = Day.parse(first) if first else Day.of(end.start - timedelta(days=29))
    if start > end:
        raise PeriodError(f"--from {start} is after --to {end}")
    return start, end


def alerts(out: Console, found: Sequence[Mapping[str, Any]], json_wanted: bool) -> None:
    """Alerts, the open and critical ones first."""
    if json_wanted:
        as_json(out, list(found))
        return
    shown = ("id", "severity", "kind", "subject", "project_id", "opened_at", "detail", "acknowledged_by")
    columns = (*shown, "resolved_at") if any(alert["resolved_at"] for alert in found) else shown
    rows = [{name: _said(name, alert[name]) for name in columns} for alert in found]
    out.print(table("Alerts", rows) if rows else "no open alert")


def _said(name: str, value: Any) -> Any:
    if name == "detail":
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return "" if value is None else value
