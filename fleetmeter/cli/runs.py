"""`run`, `backfill` and `jobs`: run a job here, list runs, cancel, retry, discard, pause a job."""

import logging
import signal
import threading
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fleetmeter import environment
from fleetmeter.cli import corrections, output, run_output, terminal
from fleetmeter.cli.options import AsJson, At, DryRun, Project
from fleetmeter.cli.process import log_to_stderr
from metering.catalogue import periods
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.runs import definitions, listing, pauses, requests
from metering.runs.foreground import run_now

OUT = terminal.stdout()
ERR = terminal.stderr()

jobs = typer.Typer(invoke_without_command=True, help="Runs: the latest ones, cancel, retry; pause a job.")


def run(
    job: str,
    at: At = None,
    project: Project = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run a job here and now; waits if another process is running the same one.

    Exit 1 if a project or source was left out, or a month is blocked.
    """
    _run(job, at, project, as_json, dry_run=dry_run)


def backfill(
    first: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="Last day, included.")],
    project: Project = None,
    bill: Annotated[
        bool, typer.Option("--bill", help="Also bill the months before the installation that it seals.")
    ] = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Recount and seal the missing days of a range that is over."""
    arguments = {"from": first, "to": last} | ({"bill": True} if bill else {})
    _run("backfill", None, project, as_json, dry_run=dry_run, arguments=arguments)


def _run(
    job: str,
    at: str | None,
    project: int | None,
    as_json: bool,
    dry_run: bool,
    arguments: Mapping[str, Any] | None = None,
) -> None:
    from jobs.registry import TASKS  # noqa: PLC0415 - boto3 is slow to import

    log_to_stderr(logging.ERROR)  # the result says everything once; the log is for unattended processes
    settings = environment.load_or_start()
    engine = environment.engine(settings)
    now = environment.instant(at, settings, engine)
    environment.require_clock(settings, engine)
    request = definitions.request(job, now, "manual", corrections.actor(), project, dry_run, arguments)
    leave = threading.Event()  # on SIGTERM the chunk is finished, and the rest left to a runner
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    with output.progress(ERR) as report:
        present = environment.present(settings, engine)
        outcome = run_now(settings, engine, TASKS, request, report, leave, present)
    run_output.outcome(OUT, outcome, as_json)
    raise typer.Exit(outcome.exit_code)


@jobs.callback()
def history(context: typer.Context, as_json: AsJson = False) -> None:
    """List the latest runs, newest first."""
    if context.invoked_subcommand is None:
        now = environment.now()
        with transaction(environment.engine(environment.load())) as connection:
            run_output.history(OUT, listing.history(connection), as_json)
            if not as_json:
                run_output.paused(OUT, pauses.current(connection, now))


@jobs.command()
def cancel(run_id: int) -> None:
    """Cancel a queued or running run; a running one stops after its chunk."""
    with transaction(environment.engine(environment.load())) as connection:
        if not requests.cancel(connection, run_id):
            raise FleetmeterError(f"run {run_id} is neither queued nor running; see: fleetmeter jobs")
    OUT.print(f"run {run_id} is cancelled")


@jobs.command()
def discard(run_id: int) -> None:
    """Give up a dead letter: it is not retried, and its alert ends."""
    with transaction(environment.engine(environment.load())) as connection:
        if not requests.discard(connection, run_id):
            raise FleetmeterError(f"run {run_id} is not a dead letter; see: fleetmeter jobs")
    OUT.print(f"run {run_id} is discarded")


@jobs.command()
def retry(run_id: int) -> None:
    """Ask again for a run that failed, died or was cancelled, or for the projects it left out."""
    with transaction(environment.engine(environment.load())) as connection:
        new_run_id = requests.retry(connection, run_id, corrections.actor())
    if new_run_id is None:
        raise FleetmeterError(f"run {run_id} left nothing undone; see: fleetmeter jobs")
    OUT.print(f"run {new_run_id} repeats it")


@jobs.command()
def pause(
    job: str,
    until: Annotated[
        str, typer.Option("--until", help="Its end, ISO 8601 with a zone; at most 72 hours away.")
    ],
    reason: Annotated[str, typer.Option("--reason", help="Why; it is shown wherever the job is.")],
) -> None:
    """Let the schedule leave a job out for a while; the pause ends by itself."""
    settings = environment.load()
    engine = environment.engine(settings)
    end, now = periods.parse_instant(until), environment.present(settings, engine)
    with transaction(engine) as connection:
        paused = pauses.pause(connection, job, end, reason, corrections.actor(), now)
    OUT.print_line(pauses.sentence(paused))


@jobs.command()
def resume(job: str) -> None:
    """End the pause of a job now."""
    settings = environment.load()
    engine = environment.engine(settings)
    now = environment.present(settings, engine)
    with transaction(engine) as connection:
        pauses.resume(connection, job, corrections.actor(), now)
    OUT.print_line(f"{job} is not paused any more")
