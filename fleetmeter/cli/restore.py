"""`restore`: an archived month back, as files, and as rows of the database."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from fleetmeter import environment
from fleetmeter.cli import terminal
from fleetmeter.cli.corrections import actor
from metering.archive import retention
from metering.archive.restore import restore_rows
from metering.catalogue.periods import Month
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import RestoreRefused
from metering.proof import offline

OUT = terminal.stdout()


def restore(
    month: Annotated[str, typer.Argument(metavar="YYYY-MM")],
    to: Annotated[
        Path | None, typer.Option(help="The folder that gets the files; made if it is not there.")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", help="s3://bucket/prefix/ or a folder; default: the archive that is noted."),
    ] = None,
    rows: Annotated[bool, typer.Option("--rows", help="Insert what the database lacks of it, too.")] = False,
) -> None:
    """Bring a month's archive back as files, every digest and seal checked; with --rows as rows, too."""
    found, wanted = environment.load_or_start(), Month.parse(month)
    engine = environment.engine(found)
    folder = _fetched(found, engine, wanted, source, to)
    if not rows:
        return
    with transaction(engine) as connection:
        done = restore_rows(connection, wanted, folder, actor(), environment.now())
    OUT.print_line(
        f"{wanted}: {done.bills:,} bills, {done.days:,} days and {done.adjustments:,} adjustments were "
        "missing and are back"
    )


def _fetched(found: Settings, engine: Engine, month: Month, source: str | None, to: Path | None) -> Path:
    if source is not None and not source.startswith("s3://"):
        read = offline.examine([Path(source)])
        if read.discrepancies:
            raise RestoreRefused(f"the archive in {source} does not verify: {read.discrepancies[0]}")
        if any((year, number) != (month.year, month.month) for _, year, number in read.bills):
            raise RestoreRefused(f"the archive in {source} is not of {month}")
        OUT.print_line(f"{month} from {source}: {len(read.bills):,} bills and {len(read.days):,} days verify")
        return Path(source)
    if to is None:
        raise RestoreRefused("name the folder that gets the files: --to FOLDER")
    from collectors.aws.client import open_client  # noqa: PLC0415 - boto3 is slow to import
    from jobs.tasks import archive  # noqa: PLC0415 - boto3 is slow to import

    if source is None:
        with transaction(engine) as connection:
            source = retention.archived_at(connection, month)
    bucket, _, place = source.removeprefix("s3://").rstrip("/").partition("/")
    to.mkdir(parents=True, exist_ok=True)
    checked = archive.restore(open_client(found, "s3"), bucket, f"{place}/" if place else "", to)
    OUT.print_line(f"{month} from {source}: {checked['bills']:,} bills and {checked['days']:,} days verify")
    return to
