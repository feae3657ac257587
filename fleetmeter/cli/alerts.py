"""`alerts`: list what is wrong now, acknowledge it, test the channels."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy.exc import DBAPIError

from fleetmeter import environment
from fleetmeter.cli import corrections, output, terminal
from fleetmeter.cli.options import AsJson, At
from metering.alerts import alerts, incidents, thresholds
from metering.alerts.incidents import Incident
from metering.catalogue import quantities
from metering.db.engine import is_denied
from metering.db.transactions import transaction
from metering.errors import DeliveryFailed
from metering.pricing import plans

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
        from jobs import notify  # noqa: PLC0415 - boto3 is slow to import

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
            shown_incidents = incidents.read(connection, resolved)
            shown_incidents = incidents.with_costs(
                connection, plans.load(settings.plans), now, shown_incidents
            )
        _render(shown_incidents, now, as_json)


@app.command("ack")
def acknowledge(
    alert_id: int, note: Annotated[str, typer.Option(help="What is being done about it.")] = ""
) -> None:
    """Record that somebody takes care of an alert; it stays open until it is over."""
    with transaction(environment.engine(environment.load())) as connection:
        alerts.acknowledge(connection, alert_id, corrections.actor(), note)
    OUT.print_line(f"alert {alert_id} is acknowledged")


@app.command("thresholds")
def list_thresholds(as_json: AsJson = False) -> None:
    """List customers' own thresholds; everybody else's are the default."""
    with transaction(environment.engine(environment.load())) as connection:
        rows = thresholds.own(connection)
    if as_json:
        output.as_json(OUT, rows)
        return
    default = ", ".join(f"{percent} %" for percent in thresholds.DEFAULT)
    cells = [
        row | {"meter": row["meter"] or "every meter", "percents": ", ".join(map(str, row["percents"]))}
        for row in rows
    ]
    OUT.print(output.table("Own thresholds", cells) if rows else "no customer has own thresholds")
    OUT.print_line(f"the default is {default}")


@app.command("threshold")
def set_thresholds(
    organization: Annotated[int, typer.Option(help="The customer's id.")],
    meter: Annotated[str | None, typer.Option(help="One meter; left out: every meter.")] = None,
    at: Annotated[list[int] | None, typer.Option(help="Percent; several times. None: the default.")] = None,
) -> None:
    """Set at which shares of an allowance a customer's limits are reported."""
    with transaction(environment.engine(environment.load())) as connection:
        thresholds.save(connection, organization, meter, at or [], corrections.actor())
    shares = ", ".join(f"{percent} %" for percent in sorted(set(at or thresholds.DEFAULT)))
    OUT.print_line(f"organization {organization}: {meter or 'every meter'} is reported at {shares}")


@app.command("test")
def test() -> None:
    """Send a message to every channel; exit 1 if one does not take it."""
    from jobs import alert_channels  # noqa: PLC0415 - boto3 is slow to import

    channels = alert_channels.configured(environment.load())
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


def _render(shown_incidents: Sequence[Incident], now: datetime, json_format: bool) -> None:
    """Print incidents, the open and critical ones first; each with its title and, as JSON, all there is."""
    if json_format:
        output.as_json(OUT, [incident.as_json() for incident in shown_incidents])
        return
    rows = [_row(incident, now) for incident in shown_incidents]
    OUT.print(output.table("Incidents", rows) if rows else "no open incident")


def _row(incident: Incident, now: datetime) -> dict[str, Any]:
    costs = quantities.money(incident.cost, incident.currency or "") if incident.has_cost else ""
    end = incident.resolved_at
    return {
        "id": incident.id,
        "severity": "resolved" if end else incident.severity,
        "what": incident.title,
        "age": quantities.lasting(incident.opened_at, end or now),
        "cost": costs,
        "acknowledged by": incident.acknowledged_by or "",
        "note": incident.note or "",
    }
