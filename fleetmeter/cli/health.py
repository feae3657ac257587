"""`status` and `doctor`: how the processes are, and what is wrong."""

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson
from metering.config.settings import load_settings
from metering.pricing import plans

OUT = terminal.stdout()


def status(as_json: AsJson = False) -> None:
    """Print who is alive, how fresh each source is, what is open, what waits."""
    from fleetmeter import status as overview  # noqa: PLC0415 - the command has the same name

    settings = environment.load()
    available = plans.load(settings.plans)
    report = overview.read(environment.engine(settings), environment.now(), available)
    output.status(OUT, report, as_json)


def doctor() -> None:
    """Check what operators complain about, and print what is wrong and what to do."""
    from fleetmeter import doctor as checks  # noqa: PLC0415 - the command has the same name

    findings = checks.examine(load_settings(), environment.now())
    output.findings(OUT, findings)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)
