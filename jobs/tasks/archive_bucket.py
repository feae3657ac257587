"""The bucket of the archives: objects read with a limit, and replaced only as they were read."""

import base64
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from collectors.aws import errors
from metering.archive import files
from metering.config.aws import Place
from metering.errors import FleetmeterError, SourceUnavailable
from metering.exports.manifest import sha256

CHUNK = 1 << 20
CONFLICT_CODES = ("PreconditionFailed", "ConditionalRequestConflict")


class ArchiveBucket:
    """A bucket, by a boto3 S3 client. Every method raises SourceUnavailable when S3 refuses."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def etag(self, key: str) -> str | None:
        """Return the ETag of an object, None if it is not there."""
        try:
            return str(self._client.head_object(Bucket=self.bucket, Key=key)["ETag"])
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return None
            raise self._refused(key, "cannot be read", error) from error
        except BotoCoreError as error:
            raise self._refused(key, "cannot be read", error) from error

    def get(self, place: str, name: str, folder: Path) -> str:
        """Download the file `name` of the archive at `place` into `folder`; return its ETag.

        Raises FleetmeterError if the name is not an archive's, if the target is a link, or if the
        object is larger than such a file can be.
        """
        limit = files.LARGEST_MANIFEST if name == files.MANIFEST else files.LARGEST_FILE
        with files.create(folder, name) as stream:
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=place + name)
                size = 0
                for chunk in answer["Body"].iter_chunks(CHUNK):
                    size += len(chunk)
                    if size > limit:
                        raise FleetmeterError(
                            f"s3://{self.bucket}/{place}{name} is larger than {limit:,} bytes; it is not "
                            "the file that was archived"
                        )
                    stream.write(chunk)
            except (ClientError, BotoCoreError) as error:
                raise self._refused(place + name, "cannot be read", error) from error
        return str(answer["ETag"])

    def put(self, key: str, path: Path, etag: str | None) -> bool:
        """Upload `path`: as a new object, or over the one with that ETag; False if another one is there."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        checksum = base64.b64encode(bytes.fromhex(sha256(path))).decode()
        try:
            with path.open("rb") as body:
                self._client.put_object(
                    Bucket=self.bucket, Key=key, Body=body, ChecksumSHA256=checksum, **condition
                )
        except ClientError as error:
            if error.response["Error"]["Code"] in CONFLICT_CODES:
                return False
            raise self._refused(key, "cannot be written", error) from error
        except BotoCoreError as error:
            raise self._refused(key, "cannot be written", error) from error
        return True

    def _refused(self, key: str, what: str, error: Exception) -> SourceUnavailable:
        failure = errors.to_failure(error, Place(self.bucket), "FLEETMETER_ARCHIVE_BUCKET")
        sentence = f"s3://{self.bucket}/{key} {what}: {failure.reason}"
        return SourceUnavailable(sentence, failure.retryable)
