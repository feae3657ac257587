"""The files of an archive: their names, their manifest, and how they are written into a folder.

Content of a bucket or a folder is data: only these names are taken, no link is followed, sizes
have a limit, and every digest is checked.
"""

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Engine, text

from metering.catalogue.periods import Month
from metering.db.transactions import read_snapshot
from metering.errors import FleetmeterError
from metering.exports import manifest as manifests
from metering.exports.export import Export
from metering.exports.manifest import sha256
from metering.exports.write import write

TABLES, FORMATS = ("bills", "days", "adjustments"), ("csv", "parquet")
PLANS = "plans.json"
MANIFEST = manifests.ARCHIVE
NAMES = (*(f"{table}.{file_format}" for table in TABLES for file_format in FORMATS), PLANS)
REQUIRED = ("bills.csv", "days.csv", "adjustments.csv", PLANS)  # which a restore of rows reads
LARGEST_MANIFEST = 1 << 20  # bytes
LARGEST_FILE = 64 << 30


@dataclass(frozen=True)
class ArchiveManifest:
    """What an archive says of itself: the SHA-256 of each file, by name, and the digest of its seals.

    `identity` is None in archives of versions before 0.2.0. `digest` is the manifest's own SHA-256.
    """

    month: Month
    files: Mapping[str, str]
    identity: str | None
    digest: str


def read_manifest(folder: Path, month: Month | None = None, noted: Collection[str] = ()) -> ArchiveManifest:
    """Read the manifest in `folder`.

    `noted` are the digests that the audit log has of the month's manifests. Raises FleetmeterError if it
    is not the manifest of an archive of `month`, if it names another file than an archive has, or if
    digests are noted and none is its own.
    """
    path = folder / MANIFEST
    refuse_link(path)
    try:
        written = json.loads(path.read_text("utf-8"))
        files = {str(name): str(digest) for name, digest in written["files"].items()}
        manifest = ArchiveManifest(
            Month.parse(written["month"]), files, written.get("identity"), sha256(path)
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FleetmeterError(f"{path} is not the manifest of an archive: {error}") from error
    _refuse_other_names(path, files)
    if month is not None and manifest.month != month:
        raise FleetmeterError(f"the archive in {folder} is not of {month}, it is of {manifest.month}")
    if noted and manifest.digest not in noted:
        raise FleetmeterError(
            f"{path} is not the manifest that the audit log noted when {manifest.month} was archived; "
            "the archive was changed"
        )
    return manifest


def _refuse_other_names(path: Path, files: Mapping[str, str]) -> None:
    other = sorted(set(files) - set(NAMES))
    if other:
        raise FleetmeterError(f"{path} names {other[0]!r}, which is not a file of an archive; it was changed")
    missing = [name for name in NAMES if name not in files]
    if missing:
        raise FleetmeterError(f"{path} does not name {missing[0]}; the archive is incomplete")


def check_files(folder: Path, manifest: ArchiveManifest, names: Collection[str] = NAMES) -> None:
    """Refuse a file in `folder` that is a link or differs from the archive. Raises FleetmeterError."""
    for name in names:
        digest = manifest.files[name]
        path = folder / name
        refuse_link(path)
        if not path.is_file() or sha256(path) != digest:
            raise FleetmeterError(f"{path} is not what was archived; restore a copy")


def refuse_link(path: Path) -> None:
    """Refuse a `path` that exists and is not an ordinary file. Raises FleetmeterError."""
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise FleetmeterError(f"{path} is not an ordinary file; name another folder")


def create(folder: Path, name: str) -> BinaryIO:
    """Open a file of an archive in `folder` to write it, following no link. Raises FleetmeterError."""
    if name not in (*NAMES, MANIFEST):
        raise FleetmeterError(f"{name!r} is not a file of an archive")
    path = folder / name
    refuse_link(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except OSError as error:
        raise FleetmeterError(f"{path} cannot be written ({error.strerror})") from error


def write_files(engine: Engine, month: Month, folder: Path) -> list[Path]:
    """Write the files of an archive of `month`, as of one snapshot; returns them, the manifest last.

    An archive without a manifest is not finished.
    """
    exports = {
        "bills": Export.for_month(month),
        "days": Export.for_days(month.first, month.last),
        "adjustments": Export.for_adjustments(month),
    }
    contents = {}
    with read_snapshot(engine) as connection:
        for table in TABLES:
            for file_format in FORMATS:
                path = folder / f"{table}.{file_format}"
                contents[table] = write(connection, exports[table], file_format, path).as_json()
        (folder / PLANS).write_text(json.dumps(_plans(connection, month), indent=1))
        seals = identity(connection, month)[0]
    manifest: dict[str, Any] = {"month": str(month), "identity": seals, "contents": contents}
    manifest["files"] = {name: sha256(folder / name) for name in NAMES}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    return [*(folder / name for name in NAMES), folder / MANIFEST]


def _plans(connection: Connection, month: Month) -> dict[str, Any]:
    query = text("""
        SELECT hash, content FROM plan_versions WHERE hash IN (
            SELECT plan_version FROM monthly_stats WHERE year = :year AND month = :month
            UNION SELECT part->>'plan_version' FROM monthly_stats
            CROSS JOIN LATERAL jsonb_array_elements(versions) AS part
            WHERE year = :year AND month = :month)""")
    rows = connection.execute(query, month.bounds())
    return {row.hash: row.content for row in rows}


def identity(connection: Connection, month: Month) -> tuple[str, int]:
    """Return the digest of the month's seals, 16 hex digits, and how many bills it has."""
    query = text("""
        SELECT encode(sha256(convert_to(string_agg(seal, E'\\n' ORDER BY project_id), 'UTF8')), 'hex'),
            count(*) FROM monthly_stats WHERE year = :year AND month = :month""")
    digest, bills = connection.execute(query, month.bounds()).one()
    return (digest or "")[:16], bills
