"""The command line: assembles the commands and turns errors into one sentence and an exit code.

Exit 0: everything that was asked for is done. 1: something was not, or a check failed. 2: bad usage.
"""

import os
import sys
from collections.abc import Callable

import typer
from sqlalchemy.exc import DBAPIError

from fleetmeter.cli import (
    alerts,
    broker_acl,
    budget,
    corrections,
    counters,
    database,
    days,
    exports,
    health,
    months,
    proof,
    restore,
    runs,
    services,
    spend,
    terminal,
    tokens,
)
from fleetmeter.cli.process import log_to_stderr
from metering.db.engine import denial, error_line, is_denied
from metering.errors import FleetmeterError, PeriodError, UnknownProject
from metering.printable import one_line

ERR = terminal.stderr()

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Fleetmeter: usage metering and billing for multi-tenant robot-fleet platforms.",
)
app.add_typer(database.db, name="db")
app.add_typer(exports.app, name="export")
app.add_typer(alerts.app, name="alerts")
app.add_typer(budget.app, name="budget")
app.add_typer(counters.app, name="counters")
app.add_typer(runs.jobs, name="jobs")
app.add_typer(tokens.app, name="token")
COMMANDS: dict[str, Callable[..., None]] = {
    "migrate": database.migrate,
    "up": services.up,
    "demo": services.demo,
    "counter": services.counter,
    "runner": services.runner,
    "console": services.console,
    "api": services.api,
    "status": health.status,
    "doctor": health.doctor,
    "drill": services.drill,
    "run": runs.run,
    "backfill": runs.backfill,
    "missing": days.missing,
    "coverage": days.hour_coverage,
    "month": months.month,
    "explain": months.explain,
    "spend": spend.spent,
    "adjust": corrections.adjust,
    "accept-gap": corrections.accept_gap,
    "broker-acl": broker_acl.broker_acl,
    "verify": proof.verify,
    "verify-export": proof.verify_export,
    "restore": restore.restore,
}
for name, command in COMMANDS.items():
    app.command(name)(command)

READING: tuple[list[str], ...] = (
    [],
    ["status"],
    ["missing"],
    ["coverage"],
    ["jobs"],
    ["spend"],
    ["budget"],
    ["explain"],
    ["month"],
)


def main() -> None:
    """Run a command; an error is one sentence on standard error, never a traceback."""
    if sys.argv[1:2] not in READING:
        log_to_stderr()
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
        _fail(f"{type(error).__name__}: {error_line(error)} (FLEETMETER_DEBUG=1 shows where)", 1)


def _fail(message: object, code: int) -> None:
    ERR.print_line(f"fleetmeter: {one_line(str(message))}")
    sys.exit(code)


if __name__ == "__main__":
    main()
