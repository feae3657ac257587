"""`status` and `doctor`: the state of the processes, and problems."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import typer
from rich.markup import escape

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson
from metering.alerts import backlog
from metering.catalogue import brokers
from metering.config.settings import load_settings
from metering.db import clock
from metering.pricing import plans
from metering.printable import one_line

if TYPE_CHECKING:  # slow to import
    from fleetmeter.doctor.finding import Finding

OUT = terminal.stdout()
LISTED = 20  # periods of a catch-up plan, and blocked projects, listed one by one
APPROVAL = ("id", "action", "subject", "asked_by", "asked_at", "reason")
COUNTER = ("client_id", "state", "shared_group", "broker", "host", "last_seen_at", "approximate")


def status(as_json: AsJson = False) -> None:
    """Print who is alive, how fresh each source is, what is open, what waits."""
    from fleetmeter import status as overview  # noqa: PLC0415 - the command has the same name

    settings = environment.load()
    available = plans.load(settings.plans)
    report = overview.read(environment.engine(settings), environment.now(), available)
    _render_status(report, as_json)


def doctor(as_json: AsJson = False) -> None:
    """Check what operators complain about, and print what is wrong and what to do."""
    from fleetmeter.doctor.examine import examine  # noqa: PLC0415 - a slow import that few commands need

    findings = examine(load_settings(), environment.now())
    if as_json:
        output.as_json(OUT, [asdict(finding) for finding in findings])
    else:
        _render_findings(findings)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def _render_findings(findings: Sequence["Finding"]) -> None:
    """Print the findings: what was checked, its state, what to do."""
    for finding in findings:
        mark = "[green]ok[/green]  " if finding.ok else "[red]fix[/red] "
        checked, result, advice = map(_escaped, (finding.checked, finding.result, finding.advice))
        OUT.print(f"{mark} [bold]{checked}[/bold]: {result}")
        if advice:
            OUT.print(f"      {advice}")


def _escaped(text: str) -> str:
    """Return text from outside for one line, in which it is no markup."""
    return escape(one_line(text))


def _render_status(report: Mapping[str, Any], json_format: bool) -> None:
    """Print the status, section by section."""
    if json_format:
        output.as_json(OUT, report)
        return
    OUT.print(f"as of {report['at']:%Y-%m-%d %H:%M:%S} UTC")
    OUT.print(clock.sentence(timedelta(seconds=report["clock_difference_seconds"])))
    sources = [{"source": name, **row} for name, row in report["sources"].items()]
    sections = {
        "workers": report["workers"],
        "counters": [{name: row[name] for name in COUNTER} for row in report["counters"]],
        "sources": sources,
        "last run of each job": report["jobs"],
        "paused jobs": report["paused"],
        "waiting for approval": [{name: row[name] for name in APPROVAL} for row in report["approvals"]],
        "open gaps": report["open_gaps"],
        "broker's own count": report["reconciliation"],
        "unattributed messages, last 24 h": report["unattributed_messages_last_24_h"],
    }
    for title, rows in sections.items():
        OUT.print(output.table(title, rows) if rows else f"{title}: none")
    if any(row["approximate"] for row in report["counters"]):
        OUT.print(f"MQTT {brokers.APPROXIMATE}", soft_wrap=True)
    OUT.print(f"queue: {report['queue']['queued']} queued, {report['queue']['running']} running")
    OUT.print("catch-up: " + (backlog.summary(report["catch_up"]) or "nothing is behind"), soft_wrap=True)
    if len(report["catch_up"]) > 1:
        OUT.print(output.table(f"the first {LISTED} of the plan", report["catch_up"][:LISTED]))
    OUT.print(f"missing days of the last 30: {report['missing_days_last_30']}")
    _render_months(report["months"])


def _render_months(months: Mapping[str, Any]) -> None:
    for month, state in months.items():
        if state.get("running"):
            OUT.print(f"{month}: running")
        elif state["blocked"]:
            OUT.print(f"{month}: open, blocked for {len(state['blocked'])} projects:")
            for project, reason in list(state["blocked"].items())[:LISTED]:
                OUT.print(f"  project {project}: {reason}", markup=False)
        else:
            OUT.print(f"{month}: over and not closed; run: fleetmeter run monthly")
