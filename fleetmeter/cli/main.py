"""The commands. Each reads the clock and the settings, calls one function, and shows the result.

Exit 0 done or nothing to do, 1 failed, 2 bad usage.
"""

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DBAPIError

from fleetmeter import environment, schema
from fleetmeter.cli import (
    alerts,
    broker_acl,
    corrections,
    counters,
    exports,
    months,
    output,
    restore,
    spend,
    terminal,
)
from fleetmeter.embedded import postgres
from fleetmeter.extras import require_extra
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.config.settings import load_settings
from metering.config.value_files import override
from metering.days import coverage, coverage_hours
from metering.db.engine import denial, is_denied, open_engine
from metering.db.transactions import read_snapshot, transaction
from metering.errors import FleetmeterError, PeriodError, UnknownProject
from metering.pricing import plans
from metering.proof import offline
from metering.proof.verify import verify as verify_books
from metering.runs import definitions, listing, requests
from metering.runs.foreground import run_now

OUT = terminal.stdout()
ERR = terminal.stderr()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fleetmeter: usage metering and billing for multi-tenant robot-fleet platforms.",
)
db = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL.")
app.add_typer(db, name="db")
app.add_typer(exports.app, name="export")
app.add_typer(alerts.app, name="alerts")
app.add_typer(counters.app, name="counters")
app.command("accept-gap")(corrections.accept_gap)
app.command()(corrections.adjust)
app.command("spend")(spend.spent)
app.command("broker-acl")(broker_acl.broker_acl)
app.command()(months.month)
app.command()(restore.restore)

READING: tuple[list[str], ...] = (
    [],
    ["status"],
    ["missing"],
    ["coverage"],
    ["jobs"],
    ["spend"],
    ["explain"],
    ["month"],
)

At = Annotated[str | None, typer.Option(help="Taken as now, ISO 8601 in UTC; default the clock.")]
Project = Annotated[int | None, typer.Option(help="One project instead of all.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would.")]
Port = Annotated[int, typer.Option(min=1, max=65535, help="The console's port.")]


def main() -> None:
    """The entry point: what went wrong is one sentence on standard error, never a traceback."""
    if sys.argv[1:2] not in READING:
        _log_to_stderr()
    try:
        app()
    except (PeriodError, UnknownProject) as error:
        _fail(error, 2)
    except FleetmeterError as error:
        _fail(error, 1)
    except KeyboardInterrupt:
        _fail("interrupted; nothing half-done is kept", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if isinstance(error, DBAPIError) and is_denied(error):
            _fail(denial(error), 1)
        if os.environ.get("FLEETMETER_DEBUG"):
            raise
        reason = str(error).strip().splitlines() or [""]
        _fail(f"{type(error).__name__}: {reason[0]} (FLEETMETER_DEBUG=1 shows where)", 1)


def _log_to_stderr(least: int = logging.INFO) -> None:
    """Standard output is for results: a program that reads them must not meet a line of the log."""
    from metering import logs  # noqa: PLC0415 - a slow import that commands which only read do without

    logs.configure(least)


def _fail(message: object, code: int) -> None:
    ERR.print_line(f"fleetmeter: {message}")
    sys.exit(code)


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


@app.command()
def migrate() -> None:
    """Bring the database to the newest schema."""
    engine = open_engine(environment.load())
    OUT.print_line(f"schema {schema.migrate(engine)} in {engine.url.render_as_string()}")


@app.command()
def up(port: Port = 8501) -> None:
    """Run counter, runner and console on this machine, until Ctrl-C."""
    from fleetmeter import up as supervisor  # noqa: PLC0415 - the command has the same name

    found = environment.load()
    schema.migrate(open_engine(found))
    embedded = load_settings().embedded_database
    supervisor.run(found, embedded, port, [], _stop_on_signals())


@app.command()
def demo(
    reset: Annotated[bool, typer.Option("--reset", help="Start over with an empty demo.")] = False,
    port: Port = 8501,
) -> None:
    """Run everything with a simulated fleet and 13 months of history, until Ctrl-C."""
    require_extra("demo", "moto", "the demo")
    from fleetmeter.demo.show import run as demonstrate  # noqa: PLC0415 - loads the simulated cloud

    demonstrate(reset, port, _stop_on_signals())


@app.command()
def counter() -> None:
    """Count MQTT messages until stopped; stands by while another daemon counts."""
    from collectors.mqtt import daemon  # noqa: PLC0415 - a slow import that few commands need

    found = environment.load()
    engine = environment.patient_engine(found, "fleetmeter counter")
    plain = found.mqtt_reader == "plain"
    gc.freeze()  # what is imported stays; looking through it again and again costs a tenth of the CPU
    raise typer.Exit(daemon.run(found, engine, _stop_on_signals(), plain=plain))


@app.command()
def runner() -> None:
    """Run due and requested jobs until stopped."""
    from jobs import runner as job_runner  # noqa: PLC0415 - a slow import that few commands need

    found = environment.load()
    job_runner.run(found, environment.patient_engine(found, "fleetmeter runner"), _stop_on_signals())


@app.command()
def console(port: Port = 8501) -> None:
    """Serve the console: on loopback, or where FLEETMETER_CONSOLE_ADDRESS says once people sign in."""
    from console import server  # noqa: PLC0415 - a slow import that few commands need

    found = environment.load()
    environment.engine(found).dispose()
    database_url = found.database.render_as_string(hide_password=False)
    command = server.command(port, found)
    os.execve(command[0], command, override(os.environ, {"DATABASE_URL": database_url}))  # noqa: S606 - the console takes this process's place


@app.command()
def status(as_json: AsJson = False) -> None:
    """Who is alive, how fresh each source is, what is open, what waits."""
    from fleetmeter.cli import status as overview  # noqa: PLC0415 - the command has the same name

    found = environment.load()
    offered = plans.load(found.plans)
    output.status(OUT, overview.read(environment.engine(found), environment.now(), offered), as_json)


@app.command()
def doctor() -> None:
    """Check what operators complain about, and say what was found and what to do."""
    from fleetmeter import doctor as checks  # noqa: PLC0415 - the command has the same name

    findings = checks.examine(load_settings(), environment.now())
    output.findings(OUT, findings)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


@app.command()
def drill(
    minutes: Annotated[float, typer.Option(min=0.1)] = 5.0,
    seed: int = 1,
    daemons: Annotated[int, typer.Option(min=1, max=16, help="More than one form a shared group.")] = 1,
) -> None:
    """Publish known counts, kill and cut at random, compare: on a scratch database and broker."""
    from fleetmeter.drill import drill as exercise  # noqa: PLC0415 - a slow import that few commands need

    raise typer.Exit(exercise.run(environment.load(), minutes, seed, daemons))


@app.command()
def run(
    job: str,
    at: At = None,
    project: Project = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Run a job here and now; waits if another process is running the same one."""
    _run(job, at, project, as_json, dry_run=dry_run)


@app.command()
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

    _log_to_stderr(logging.ERROR)  # the result says everything once; the log is for those nobody watches
    found = environment.load()
    engine = environment.engine(found)
    now = environment.instant(at, found, engine)
    environment.require_clock(found, engine)
    request = definitions.request(job, now, "manual", corrections.actor(), project, dry_run, arguments)
    leave = threading.Event()  # on SIGTERM the chunk is finished, and the rest left to a runner
    signal.signal(signal.SIGTERM, lambda *_: leave.set())
    with output.progress(ERR) as report:
        outcome = run_now(found, engine, TASKS, request, report, leave)
    output.outcome(OUT, outcome, as_json)
    raise typer.Exit(outcome.exit_code)


@app.command()
def missing(
    first: Annotated[str | None, typer.Option("--from", help="First day; default 30 days ago.")] = None,
    last: Annotated[str | None, typer.Option("--to", help="Last day; default yesterday.")] = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List the days that are over, expected and not sealed; exit 0 whether or not there are any."""
    now = environment.now()
    start, end = output.day_range(first, last, now)
    engine = environment.engine(environment.load())
    with transaction(engine) as connection:
        projects.ids(connection, project)
        days = coverage.missing_days(connection, start, end, now, project)
    output.missing(OUT, days, start, end, as_json)


@app.command("coverage")
def hour_coverage(project: int, day: str, as_json: AsJson = False) -> None:
    """How well each hour of a project's day was measured, source by source."""
    wanted = Day.parse(day)
    with transaction(environment.engine(environment.load())) as connection:
        projects.require(connection, project)
        cells = coverage_hours.hours(connection, project, wanted, environment.now())
    output.hour_coverage(OUT, cells, as_json)


@app.command()
def verify(
    against: Annotated[
        list[Path] | None,
        typer.Option(help="An export whose seals the database must still have; repeatable."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Prove that every total is the sum of its parts and every seal is intact; exit 1 if not."""
    engine = environment.engine(environment.load())
    with output.progress(ERR) as report:
        result = verify_books(engine, report, against or ())
    output.verification(OUT, result, as_json)
    raise typer.Exit(0 if result.sound else 1)


@app.command("verify-export")
def verify_export(files: list[Path]) -> None:
    """Prove exported months, and days, with nothing but their files; exit 1 if something was changed."""
    raise typer.Exit(offline.main([str(path) for path in files]))


@app.command()
def explain(project: int, month: str, as_json: AsJson = False) -> None:
    """Walk a closed month's charge down to its lines, days and hours, with the arithmetic."""
    from metering.months import explain as explaining  # noqa: PLC0415 - the command has the same name
    from metering.months import explanation  # noqa: PLC0415 - it needs the other

    wanted = Month.parse(month)
    with read_snapshot(environment.engine(environment.load())) as connection:
        found = explaining.explain(connection, project, wanted)
    if as_json:
        output.as_json(OUT, explanation.as_json(found))
        return
    for line in explanation.render(found):
        OUT.print_line(line)


jobs = typer.Typer(invoke_without_command=True, help="Runs: the latest ones, cancel, retry.")
app.add_typer(jobs, name="jobs")


@jobs.callback()
def jobs_history(context: typer.Context, as_json: AsJson = False) -> None:
    """The latest runs, newest first."""
    if context.invoked_subcommand is None:
        with transaction(environment.engine(environment.load())) as connection:
            output.runs(OUT, listing.history(connection), as_json)


@jobs.command("cancel")
def jobs_cancel(run_id: int) -> None:
    """Cancel a run that waits or runs; a running one stops after its chunk."""
    with transaction(environment.engine(environment.load())) as connection:
        if not requests.cancel(connection, run_id):
            raise FleetmeterError(f"run {run_id} is neither waiting nor running; see: fleetmeter jobs")
    OUT.print(f"run {run_id} is cancelled")


@jobs.command("discard")
def jobs_discard(run_id: int) -> None:
    """Let a dead letter rest: it is not asked for again, and its alert ends."""
    with transaction(environment.engine(environment.load())) as connection:
        if not requests.discard(connection, run_id):
            raise FleetmeterError(f"run {run_id} is no dead letter; see: fleetmeter jobs")
    OUT.print(f"run {run_id} is discarded")


@jobs.command("retry")
def jobs_retry(run_id: int) -> None:
    """Ask again for a run that failed, died or was cancelled, or for the projects it left out."""
    with transaction(environment.engine(environment.load())) as connection:
        again = requests.retry(connection, run_id, corrections.actor())
    if again is None:
        raise FleetmeterError(f"run {run_id} left nothing undone; see: fleetmeter jobs")
    OUT.print(f"run {again} asks for it again")


@db.command("stop")
def db_stop() -> None:
    """Stop the embedded PostgreSQL; the next command starts it again."""
    postgres.stop(load_settings().data_dir)


@db.command("status")
def db_status(as_json: AsJson = False) -> None:
    """Where the embedded PostgreSQL is and whether it runs."""
    output.record(OUT, postgres.status(load_settings().data_dir), as_json)


@db.command("url")
def db_url() -> None:
    """Print the embedded PostgreSQL's URL, password included, for psql and other tools."""
    url = postgres.url(load_settings().data_dir).set(drivername="postgresql")
    OUT.file.write(f"{url.render_as_string(hide_password=False)}\n")


if __name__ == "__main__":
    main()
