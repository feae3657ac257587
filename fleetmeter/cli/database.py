"""`migrate` and `db`: the schema, and the embedded PostgreSQL."""

import typer

from fleetmeter import environment, schema
from fleetmeter.cli import output, terminal
from fleetmeter.cli.options import AsJson
from fleetmeter.embedded import postgres
from metering.config.settings import load_settings
from metering.db.engine import open_engine

OUT = terminal.stdout()

db = typer.Typer(no_args_is_help=True, help="The embedded PostgreSQL.")


def migrate() -> None:
    """Bring the database to the newest schema."""
    engine = open_engine(environment.load_or_start())
    OUT.print_line(f"schema {schema.migrate(engine)} in {engine.url.render_as_string()}")


@db.command()
def stop() -> None:
    """Stop the embedded PostgreSQL; `fleetmeter up` starts it again."""
    postgres.stop(load_settings().data_dir)


@db.command()
def status(as_json: AsJson = False) -> None:
    """Print where the embedded PostgreSQL is and whether it runs."""
    output.record(OUT, postgres.status(load_settings().data_dir), as_json)


@db.command()
def url() -> None:
    """Print the embedded PostgreSQL's URL, password included, for psql and other tools."""
    address = postgres.url(load_settings().data_dir).set(drivername="postgresql")
    OUT.file.write(f"{address.render_as_string(hide_password=False)}\n")
