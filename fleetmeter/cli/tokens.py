"""`token`: who may ask the HTTP API. A token is printed once, alone on standard output."""

from dataclasses import asdict
from typing import Annotated

import typer

from fleetmeter import environment
from fleetmeter.cli import output, terminal
from fleetmeter.cli.corrections import actor
from fleetmeter.cli.options import AsJson
from metering.db import tokens
from metering.db.transactions import transaction

OUT = terminal.stdout()
app = typer.Typer(no_args_is_help=True, help="Tokens of the HTTP API: create, list, revoke.")


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What it is for; the audit log says it.")],
    role: Annotated[str, typer.Option(help="viewer, operator or admin.")],
    organization: Annotated[int | None, typer.Option(help="Only this organization's rows.")] = None,
    days: Annotated[int | None, typer.Option(help="Until it expires; default never.")] = None,
) -> None:
    """Create a token and print it: it is not stored, and cannot be shown again."""
    engine = environment.engine(environment.load_or_start())
    with transaction(engine) as connection:
        token = tokens.create(connection, name, role, organization, days, actor(), environment.now())
    OUT.file.write(token + "\n")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List every token, without its secret: role, organization, expiry, last use."""
    now = environment.now()
    with transaction(environment.engine(environment.load())) as connection:
        rows = [asdict(token) | {"state": token.state(now)} for token in tokens.listed(connection)]
    if as_json:
        output.as_json(OUT, rows)
        return
    OUT.print(output.table("Tokens", [_in_words(row) for row in rows]) if rows else "There is no token yet.")


@app.command()
def revoke(token_id: int) -> None:
    """Revoke a token: from now on it is refused."""
    with transaction(environment.engine(environment.load())) as connection:
        tokens.revoke(connection, token_id, actor(), environment.now())
    OUT.print(f"token {token_id} is revoked")


def _in_words(row: dict[str, object]) -> dict[str, object]:
    """Return the row with words where None is not unknown."""
    absent = {"organization_id": "all", "expires_at": "never", "last_used_at": "never", "revoked_at": ""}
    return {name: absent.get(name) if value is None else value for name, value in row.items()}
