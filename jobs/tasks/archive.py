"""Archive closed months to S3: bills and days as CSV and Parquet, and a manifest with their digests.

The key of an archive is made of the month's seals, so the same month is archived once and a later
one, when a project that was blocked has closed, stands beside it. Nothing is ever overwritten.
"""

import base64
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Engine, text

from collectors.aws import errors
from collectors.aws.client import open_client
from metering.archive import retention
from metering.catalogue.periods import Month
from metering.config.aws import Place
from metering.db.transactions import read_snapshot, transaction
from metering.errors import FleetmeterError, SourceUnavailable
from metering.exports.export import Export
from metering.exports.manifest import sha256
from metering.exports.write import write
from metering.proof import offline
from metering.runs.context import Context

CHUNK = 1 << 20


@dataclass(frozen=True)
class Archived:
    """Where a month's archive is, how many bills it holds, and whether this run wrote it."""

    prefix: str
    bills: int
    written: bool


def run(context: Context) -> dict[str, Any]:
    """Archive every closed month that is not archived yet, or that has more bills since."""
    bucket = context.settings.archive_bucket
    if bucket is None:
        return {"archived": "nothing: set FLEETMETER_ARCHIVE_BUCKET"}
    with transaction(context.engine) as connection:
        months = retention.not_archived(connection)
    if context.dry_run:
        return {"would_archive": [str(month) for month in months]}
    client = open_client(context.settings, "s3")
    done: dict[str, str] = {}
    for number, month in enumerate(months):
        context.advance(f"archiving {month}", number, len(months))
        try:
            found = archive(context.engine, client, bucket, context.settings.archive_prefix, month)
        except FleetmeterError as error:
            context.fail(None, f"{month}: {error}", passing=getattr(error, "passing", False))
            continue
        if found is not None:
            done[str(month)] = f"s3://{bucket}/{found.prefix}"
            with transaction(context.engine) as connection:
                retention.note_archived(
                    connection, month, found.bills, done[str(month)], context.requested_by
                )
    return {"archived": done}


def archive(engine: Engine, client: Any, bucket: str, prefix: str, month: Month) -> Archived | None:
    """Archive `month`, read it back and verify it; None when nothing of it is closed.

    `client` is a boto3 S3 client, `prefix` ends with a slash or is empty. Raises SourceUnavailable
    when S3 refuses, FleetmeterError when what is read back is not what was written.
    """
    digest, bills = _identity(engine, month)
    if not bills:
        return None
    place = f"{prefix}{month}/{digest}/"
    written = _absent(client, bucket, f"{place}manifest.json")
    with tempfile.TemporaryDirectory(prefix="fleetmeter-archive-") as name:
        folder = Path(name)
        if written:
            _upload(client, bucket, place, files(engine, month, folder))
        back = folder / "back"
        back.mkdir()
        restore(client, bucket, place, back)
    return Archived(place, bills, written)


def restore(client: Any, bucket: str, place: str, folder: Path) -> dict[str, int]:
    """Download the archive at `place` into `folder` and verify it: digests, then every seal.

    Returns how many bills and days were verified. Raises as `archive` does.
    """
    _download(client, bucket, f"{place}manifest.json", folder / "manifest.json")
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, digest in manifest["files"].items():
        _download(client, bucket, place + name, folder / name)
        if sha256(folder / name) != digest:
            raise FleetmeterError(f"s3://{bucket}/{place}{name} is not what was archived; restore a copy")
    checked, found = offline.verify([folder / "bills.csv", folder / "days.csv"])
    if found:
        raise FleetmeterError(f"the archive s3://{bucket}/{place} does not verify: {found[0]}")
    return checked


def _identity(engine: Engine, month: Month) -> tuple[str, int]:
    query = text("""
        SELECT encode(sha256(convert_to(string_agg(seal, E'\\n' ORDER BY project_id), 'UTF8')), 'hex'),
            count(*) FROM monthly_stats WHERE year = :year AND month = :month""")
    with transaction(engine) as connection:
        digest, bills = connection.execute(query, month.bounds()).one()
    return (digest or "")[:16], bills


def files(engine: Engine, month: Month, folder: Path) -> list[Path]:
    """Write what an archive of `month` consists of into `folder`; returns the files, manifest last."""
    exports = {
        "bills": Export.for_month(month),
        "days": Export.for_days(month.first, month.last),
        "adjustments": Export.for_adjustments(month),
    }
    made, contents = [], {}
    with read_snapshot(engine) as connection:
        for name, export in exports.items():
            for kind in ("csv", "parquet"):
                made.append(folder / f"{name}.{kind}")
                contents[name] = write(connection, export, kind, made[-1]).as_json()
        made.append(folder / "plans.json")
        query = text("""
            SELECT hash, content FROM plan_versions WHERE hash IN (
                SELECT plan_version FROM monthly_stats WHERE year = :year AND month = :month
                UNION SELECT part->>'plan_version' FROM monthly_stats
                CROSS JOIN LATERAL jsonb_array_elements(versions) AS part
                WHERE year = :year AND month = :month)""")
        rows = connection.execute(query, month.bounds())
        made[-1].write_text(json.dumps({version: content for version, content in rows}, indent=1))  # noqa: C416
    manifest = folder / "manifest.json"
    digests = {path.name: sha256(path) for path in made}
    noted = {"month": str(month), "files": digests, "contents": contents}
    manifest.write_text(json.dumps(noted, indent=1, sort_keys=True))
    return [*made, manifest]  # the manifest last: an archive without one was not finished


def _upload(client: Any, bucket: str, place: str, files: list[Path]) -> None:
    for path in files:
        checksum = base64.b64encode(bytes.fromhex(sha256(path))).decode()

        def put(path: Path = path, checksum: str = checksum) -> None:
            with path.open("rb") as body:
                client.put_object(Bucket=bucket, Key=place + path.name, Body=body, ChecksumSHA256=checksum)

        _asked(f"s3://{bucket}/{place}{path.name}", put)


def _download(client: Any, bucket: str, key: str, path: Path) -> None:
    def get() -> None:
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        with path.open("wb") as stream:
            for chunk in body.iter_chunks(CHUNK):
                stream.write(chunk)

    _asked(f"s3://{bucket}/{key}", get)


def _absent(client: Any, bucket: str, key: str) -> bool:
    try:
        client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return True
        raise _refused(f"s3://{bucket}/{key} cannot be read", error, bucket) from error
    except BotoCoreError as error:
        raise _refused(f"s3://{bucket}/{key} cannot be read", error, bucket) from error
    return False


def _asked(what: str, request: Callable[[], None]) -> None:
    try:
        request()
    except (ClientError, BotoCoreError) as error:
        raise _refused(f"{what} cannot be written or read", error, what.split("/")[2]) from error


def _refused(what: str, error: Exception, bucket: str) -> SourceUnavailable:
    failure = errors.to_failure(error, Place(bucket), "FLEETMETER_ARCHIVE_BUCKET")
    return SourceUnavailable(f"{what}: {failure.reason}", failure.retryable)
