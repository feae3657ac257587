"""`fleetmeter counters`: list counter daemons, retire one, move a session to another client id."""

from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import corrections, health, output, terminal
from metering.approvals import approvals
from metering.db.transactions import transaction
from metering.errors import SettingsError
from metering.ledger import sessions

app = typer.Typer(
    invoke_without_command=True, help="The counter daemons: every member, its state, and what to do about it."
)
OUT = terminal.stdout()


@app.callback()
def counters(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False
) -> None:
    """List every counter's session and its state."""
    if context.invoked_subcommand is not None:
        return
    at = environment.now()
    with transaction(environment.engine(environment.load())) as connection:
        members = sessions.members(connection)
    rows = [member._asdict() | {"state": member.state(at)} for member in members]
    if as_json:
        output.as_json(OUT, rows)
    elif rows:
        OUT.print(output.table("counters", [{name: row[name] for name in health.COUNTER} for row in rows]))
    else:
        OUT.print("No counter has ever connected.")


@app.command()
def move(client_id: Annotated[str, typer.Argument(metavar="ID", help="The client id to leave.")]) -> None:
    """Count what waits under a client id, and go on under this installation's own or MQTT_CLIENT_ID."""
    from collectors.mqtt import move as mover  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    if settings.mqtt_url is None:
        raise SettingsError("MQTT_URL is not set; it takes mqtt://user:password@host:1883")
    engine = environment.engine(settings)
    environment.require_clock(settings, engine)
    new_id = mover.run(settings, engine, client_id, corrections.actor(), environment.now)
    OUT.print_line(f"counter {client_id} is drained; counting goes on as {new_id}")


@app.command()
def retire(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="The counter's client id.")],
    reason: Annotated[str, typer.Option(help="Why its messages may be left out.")],
) -> None:
    """Give a counter up that does not come back; the time since it was last read becomes an accepted gap."""
    from collectors.mqtt import cleanup  # noqa: PLC0415 - a slow import that few commands need

    settings = environment.load_or_start()
    approvals.refuse(settings, "gap")  # the time since it was last read becomes an accepted gap
    engine = environment.engine(settings)
    environment.require_clock(settings, engine)
    with transaction(engine) as connection:
        sessions.retire(connection, client_id, reason, corrections.actor(), environment.now())
    OUT.print_line(f"counter {client_id} is retired; months no longer wait for it")
    if not cleanup.remove_session(settings, client_id):
        OUT.print_line("the broker could not be told, and goes on holding messages for it")
