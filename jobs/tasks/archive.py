"""Archive closed months to S3: bills and days as CSV and Parquet, and a manifest with their digests.

A month has one archive, in the folder of its name. When a project that was blocked has closed later, the
archive is replaced: the earlier one is copied below superseded/ first. Nothing is overwritten that was not
read before; any other object in the place of a file is copied there, too.
"""

import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from collectors.aws.client import open_client
from jobs.tasks.archive_bucket import ArchiveBucket
from metering.archive import files, records
from metering.archive.files import MANIFEST, NAMES, ArchiveManifest
from metering.catalogue.periods import Month
from metering.db.transactions import transaction
from metering.errors import FleetmeterError
from metering.exports.manifest import sha256
from metering.proof import offline
from metering.runs.context import Context


@dataclass(frozen=True)
class Archived:
    """Where a month's archive is, its bills, its manifest's SHA-256, and whether this run wrote it."""

    prefix: str
    bills: int
    manifest: str
    written: bool


def run(context: Context) -> dict[str, Any]:
    """Archive every closed month that is not archived yet, or that has more bills since."""
    bucket = context.settings.archive_bucket
    if bucket is None:
        return {"archived": "nothing: set FLEETMETER_ARCHIVE_BUCKET"}
    with transaction(context.engine) as connection:
        months = records.unarchived_months(connection)
    if context.dry_run:
        return {"would_archive": [str(month) for month in months]}
    client = open_client(context.settings, "s3")
    places: dict[str, str] = {}
    for number, month in enumerate(months):
        context.advance(f"archiving {month}", number, len(months))
        try:
            archived = archive(context.engine, client, bucket, context.settings.archive_prefix, month)
        except FleetmeterError as error:
            context.fail(None, f"{month}: {error}", passing=getattr(error, "passing", False))
            continue
        if archived is not None:
            place = places[str(month)] = f"s3://{bucket}/{archived.prefix}"
            with transaction(context.engine) as connection:
                records.note_archived(
                    connection, month, archived.bills, place, context.requested_by, archived.manifest
                )
    return {"archived": places}


def archive(engine: Engine, client: Any, bucket: str, prefix: str, month: Month) -> Archived | None:
    """Archive `month`, read it back and verify it; None when no project has closed it.

    `client` is a boto3 S3 client, `prefix` ends with a slash or is empty. Raises SourceUnavailable
    when S3 refuses, FleetmeterError when the archive that is read back is not the one that was written.
    """
    with transaction(engine) as connection:
        identity, bills = files.identity(connection, month)
    if not bills:
        return None
    store, place = ArchiveBucket(client, bucket), f"{prefix}{month}/"
    with tempfile.TemporaryDirectory(prefix="fleetmeter-archive-") as name:
        current, built, restored = (_folder(Path(name), part) for part in ("current", "built", "restored"))
        stored_manifest = _manifest_at(store, place, month, current)
        is_written = stored_manifest is None or stored_manifest.identity != identity
        if is_written:
            etags = _supersede(store, prefix, stored_manifest, current) if stored_manifest else {}
            superseded = f"{prefix}superseded/{month}/"
            _upload(store, place, files.write_files(engine, month, built), etags, superseded)
        restore(client, bucket, place, restored)
        return Archived(place, bills, sha256(restored / MANIFEST), is_written)


def restore(
    client: Any,
    bucket: str,
    place: str,
    folder: Path,
    month: Month | None = None,
    noted: Collection[str] = (),
) -> dict[str, int]:
    """Download the archive at `place` into `folder` and verify it: digests, then every seal.

    `noted` are the digests of the month's manifests in the audit log. Returns how many bills and days
    were verified. Raises as `archive` does; nothing but the manifest is downloaded if that is refused.
    """
    store = ArchiveBucket(client, bucket)
    store.get(place, MANIFEST, folder)
    manifest = files.read_manifest(folder, month, noted)
    for name, digest in manifest.files.items():
        store.get(place, name, folder)
        if sha256(folder / name) != digest:
            raise FleetmeterError(f"s3://{bucket}/{place}{name} is not what was archived; restore a copy")
    checked, discrepancies = offline.verify([folder / "bills.csv", folder / "days.csv"])
    if discrepancies:
        raise FleetmeterError(f"the archive s3://{bucket}/{place} does not verify: {discrepancies[0]}")
    return checked


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _manifest_at(store: ArchiveBucket, place: str, month: Month, folder: Path) -> ArchiveManifest | None:
    if store.etag(place + MANIFEST) is None:
        return None
    store.get(place, MANIFEST, folder)
    return files.read_manifest(folder, month)


def _supersede(store: ArchiveBucket, prefix: str, manifest: ArchiveManifest, folder: Path) -> dict[str, str]:
    """Copy the archive below superseded/; return the ETag of each of its files that is in the copy.

    Once its copy is complete, it may be replaced in part by a run that was interrupted.
    """
    place = f"{prefix}{manifest.month}/"
    copy = f"{prefix}superseded/{manifest.month}/{manifest.identity or manifest.digest[:16]}/"
    names = (*NAMES, MANIFEST)
    if store.etag(copy + MANIFEST) is not None:
        copied = {**manifest.files, MANIFEST: manifest.digest}
        etags = {name: store.get(place, name, folder) for name in names if store.etag(place + name)}
        return {name: etag for name, etag in etags.items() if sha256(folder / name) == copied.get(name)}
    etags = {name: store.get(place, name, folder) for name in names}
    files.check_files(folder, manifest)
    _upload(store, copy, [folder / name for name in names], {}, None)
    return etags


def _upload(
    store: ArchiveBucket, place: str, paths: list[Path], etags: dict[str, str], superseded: str | None
) -> None:
    """Upload the files as new objects, or over those with the ETags.

    Another object in the place of one is copied below `superseded`, and refused without it.
    Raises FleetmeterError.
    """
    for path in paths:
        etag = etags.get(path.name)
        if store.put(place + path.name, path, etag):
            continue
        if etag is not None:
            raise _written_meanwhile(store, place + path.name)
        _replace(store, place, path, superseded)


def _replace(store: ArchiveBucket, place: str, path: Path, superseded: str | None) -> None:
    """Replace an object that was not read yet: an interrupted run left it, or it is somebody else's."""
    with tempfile.TemporaryDirectory(prefix="fleetmeter-archive-") as name:
        downloaded = Path(name) / path.name
        etag = store.get(place, path.name, downloaded.parent)
        digest = sha256(downloaded)
        if digest == sha256(path):
            return
        if superseded is None:
            raise FleetmeterError(
                f"s3://{store.bucket}/{place}{path.name} is not the copy of the archive that belongs there; "
                "move it away, then run: fleetmeter run archive"
            )
        _upload(store, f"{superseded}{digest[:16]}/", [downloaded], {}, None)
    if not store.put(place + path.name, path, etag):
        raise _written_meanwhile(store, place + path.name)


def _written_meanwhile(store: ArchiveBucket, key: str) -> FleetmeterError:
    return FleetmeterError(
        f"s3://{store.bucket}/{key} was written by somebody else meanwhile; it was not overwritten"
    )
