"""`restore`: an archived month back, as files, and as rows of the database."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from fleetmeter import environment
from fleetmeter.cli import terminal
from fleetmeter.cli.corrections import actor
from metering.archive import files, records
from metering.archive.restore import restore_rows
from metering.catalogue import own_meters
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
    period = Month.parse(month)
    settings = environment.load_or_start() if rows else environment.load()
    engine = environment.engine(settings)
    folder = _fetch(settings, engine, period, source, to)
    if not rows:
        return
    with transaction(engine) as connection:
        own_meters.declare(connection, own_meters.load(settings.meters), environment.now())
        restored = restore_rows(connection, period, folder, actor(), environment.now())
    OUT.print_line(
        f"{period}: {restored.bills:,} bills, {restored.days:,} days and "
        f"{restored.adjustments:,} adjustments were missing and are back"
    )


def _fetch(settings: Settings, engine: Engine, month: Month, source: str | None, to: Path | None) -> Path:
    with transaction(engine) as connection:
        digests = records.noted_manifests(connection, month)
        if source is None:
            source = records.archive_address(connection, month)
    if not source.startswith("s3://"):
        return _checked(Path(source), month, digests)
    if to is None:
        raise RestoreRefused("name the folder that gets the files: --to FOLDER")
    if to.is_symlink():
        raise RestoreRefused(f"{to} is a link; name the folder itself")
    from collectors.aws.client import open_client  # noqa: PLC0415 - boto3 is slow to import
    from jobs.tasks import archive  # noqa: PLC0415 - boto3 is slow to import

    bucket, _, place = source.removeprefix("s3://").rstrip("/").partition("/")
    to.mkdir(parents=True, exist_ok=True)
    place = f"{place}/" if place else ""
    checked = archive.restore(open_client(settings, "s3"), bucket, place, to, month, digests)
    OUT.print_line(f"{month} from {source}: {checked['bills']:,} bills and {checked['days']:,} days verify")
    return to


def _checked(folder: Path, month: Month, digests: list[str]) -> Path:
    """Return the folder of an archive that is there already, once its files are checked."""
    files.check_files(folder, files.read_manifest(folder, month, digests), files.REQUIRED)
    check = offline.examine([folder])
    if check.discrepancies:
        raise RestoreRefused(f"the archive in {folder} does not verify: {check.discrepancies[0]}")
    bills, days = len(check.bills), len(check.days)
    OUT.print_line(f"{month} from {folder}: {bills:,} bills and {days:,} days verify")
    return folder
