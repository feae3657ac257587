"""`alerts`: list what is wrong now, acknowledge it, test the channels."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DBAPIError

from fleetmeter import environment
from fleetmeter.cli import corrections, output, terminal
from fleetmeter.cli.options import AsJson, At
from metering.alerts import alerts
from metering.db.engine import is_denied
from metering.db.transactions import transaction
from metering.errors import DeliveryFailed

app = typer.Typer(
    invoke_without_command=True, help="Alerts: list the open ones, acknowledge one, test the channels."
)
OUT = terminal.stdout()


@app.callback()
def listed(
    context: typer.Context,
    resolved: Annotated[bool, typer.Option("--resolved", help="Include resolved alerts.")] = False,
    at: At = None,
    as_json: AsJson = False,
) -> None:
    """Check what is wrong now, and list it; exit 0 whether or not there is anything."""
    if context.invoked_subcommand is None:
        from jobs.tasks import notify  # noqa: PLC0415 - boto3 is slow to import

        settings = environment.load()
        engine = environment.engine(settings)
        now = environment.instant(at, settings, engine)
        try:
            notify.look(settings, engine, now)
        except DBAPIError as error:
            if not is_denied(error):
                raise
            typer.echo(
                "this role may not look anew; these are the alerts of the runner's last look", err=True
            )
        with transaction(engine) as connection:
            _render(alerts.list_alerts(connection, resolved), as_json)


@app.command("ack")
def acknowledge(
    alert_id: int, note: Annotated[str, typer.Option(help="What is being done about it.")] = ""
) -> None:
    """Record that somebody takes care of an alert; it stays open until it is over."""
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


def _render(entries: Sequence[Mapping[str, Any]], json_format: bool) -> None:
    """Print alerts, the open and critical ones first."""
    if json_format:
        output.as_json(OUT, list(entries))
        return
    names = ("id", "severity", "kind", "subject", "project_id", "opened_at", "detail", "acknowledged_by")
    columns = (*names, "resolved_at") if any(alert["resolved_at"] for alert in entries) else names
    rows = [{name: alert_cell(name, alert[name]) for name in columns} for alert in entries]
    OUT.print(output.table("Alerts", rows) if rows else "no open alert")


def alert_cell(name: str, value: Any) -> Any:
    """Return a field of an alert as a cell: its detail in words, nothing for None."""
    if name == "detail":
        return ", ".join(f"{key} {item}" for key, item in value.items() if item is not None)
    return "" if value is None else value
