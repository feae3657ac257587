"""`alerts`: what is wrong now, who looks after it, and whether the channels work."""

from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from fleetmeter import environment
from fleetmeter.cli import corrections, output, terminal
from metering.alerts import alerts
from metering.db.engine import is_denied
from metering.db.transactions import transaction
from metering.errors import DeliveryFailed

app = typer.Typer(invoke_without_command=True, help="Alerts: the open ones, acknowledge, test the channels.")
OUT = terminal.stdout()


@app.callback()
def listed(
    context: typer.Context,
    resolved: Annotated[bool, typer.Option("--resolved", help="The resolved ones too.")] = False,
    at: Annotated[str | None, typer.Option(help="Taken as now, ISO 8601 in UTC.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at what is wrong now, and list it; exit 0 whether or not there is anything."""
    if context.invoked_subcommand is None:
        from jobs.tasks import notify  # noqa: PLC0415 - boto3 is slow to import

        found = environment.load()
        engine = environment.engine(found)
        now = environment.instant(at, found, engine)
        try:
            notify.look(found, engine, now)
        except DBAPIError as error:
            if not is_denied(error):
                raise
            typer.echo(
                "this role may not look anew; these are the alerts of the runner's last look", err=True
            )
        with transaction(engine) as connection:
            output.alerts(OUT, alerts.list_alerts(connection, resolved), as_json)


@app.command("ack")
def acknowledge(
    alert_id: int, note: Annotated[str, typer.Option(help="What is being done about it.")] = ""
) -> None:
    """Say that somebody looks after it; it stays open until it is over."""
    with transaction(environment.engine(environment.load())) as connection:
        alerts.acknowledge(connection, alert_id, corrections.actor(), note)
    OUT.print_line(f"alert {alert_id} is acknowledged")


@app.command("test")
def test() -> None:
    """Send a message to every channel; exit 1 if one does not take it."""
    from jobs.tasks import notify  # noqa: PLC0415 - boto3 is slow to import

    channels = notify.channels(environment.load())
    failed = False
    for channel in channels:
        try:
            channel.send("Fleetmeter: a test", "If you read this, alerts reach you.")
            OUT.print_line(f"{channel.name}: taken")
        except DeliveryFailed as error:
            failed = True
            OUT.print_line(f"{channel.name}: {error}")
    if not channels:
        OUT.print_line(
            "no channel is configured; set FLEETMETER_ALERT_URLS or FLEETMETER_ALERT_SNS_TOPIC_ARN"
        )
    raise typer.Exit(1 if failed else 0)
