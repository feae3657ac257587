"""Clients of AWS, and its errors in the operator's words.

Credentials come through boto3's normal chain. Every call is retried with backoff and jitter, and
slowed down by botocore's own rate limit once AWS throttles: a throttled hour ends late, not wrong.
"""

import threading
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError
from botocore.parsers import ResponseParserError

from metering.settings import Settings

FAILURES = (ClientError, BotoCoreError, ResponseParserError)
CONCURRENCY = 8  # projects read at once, and as many parts of large ones; the connection pool holds both
RETRIES = Config(
    retries={"mode": "adaptive", "total_max_attempts": 8},
    max_pool_connections=2 * CONCURRENCY,
    connect_timeout=5,
    read_timeout=30,
)

DENIED = "access denied; grant what deploy/iam lists"
EXPIRED = "the credentials have expired; renew them"
UNKNOWN = "the credentials are unknown or do not match their secret; correct them"
ELSEWHERE = "the bucket is in another region; correct AWS_REGION"
THROTTLED = "AWS throttled every attempt; the next hour tries again"

ADVICE = {
    "AccessDenied": DENIED,
    "AccessDeniedException": DENIED,
    "AllAccessDisabled": DENIED,
    "NoSuchBucket": "the bucket does not exist; correct S3_BUCKET",
    "RepositoryNotFoundException": "the repository does not exist; correct ECR_REPOSITORY_URI",
    "PermanentRedirect": ELSEWHERE,
    "301": ELSEWHERE,
    "IllegalLocationConstraintException": ELSEWHERE,
    "AuthorizationHeaderMalformed": ELSEWHERE,
    "ExpiredToken": EXPIRED,
    "ExpiredTokenException": EXPIRED,
    "RequestExpired": EXPIRED,
    "InvalidAccessKeyId": UNKNOWN,
    "SignatureDoesNotMatch": UNKNOWN,
    "InvalidClientTokenId": UNKNOWN,
    "UnrecognizedClientException": UNKNOWN,
    "RequestTimeout": "the answers of AWS are cut short; check the network and its proxies",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "SlowDown",
    "RequestThrottled",
}
CUT_JSON = b'{"__type": "RequestTimeout", "message": "cut short"}'
CUT_XML = b"<Error><Code>RequestTimeout</Code><Message>cut short</Message></Error>"


class Tally:
    """Requests sent and answers that were throttles, by every thread of one reading."""

    def __init__(self) -> None:
        self.requests = self.throttles = 0
        self._lock = threading.Lock()

    def watch(self, client: Any) -> None:
        """Count what `client` sends from now on, its retries too."""
        client.meta.events.register("before-send", self._sent)
        # First, because whoever decides on the retry ends the round of handlers.
        client.meta.events.register_first("needs-retry", self._answered)

    def _sent(self, **_: Any) -> None:
        with self._lock:
            self.requests += 1

    def _answered(self, response: Any = None, **_: Any) -> None:
        error = response[1].get("Error", {}) if response else {}
        if error.get("Code") in THROTTLES:
            with self._lock:
                self.throttles += 1


def client(settings: Settings, service: str, region: str | None = None, tally: Tally | None = None) -> Any:
    """A client that backs off, with jitter, when it is throttled; threads may share it."""
    region = region or (settings.aws_region[0] if settings.aws_region else None)
    made = boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=settings.aws_endpoint_url,
        config=RETRIES,
    )
    made.meta.events.register("before-parse", _refuse_short)
    if tally:
        tally.watch(made)
    return made


def _refuse_short(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    # botocore takes a body that a lost connection cut short for a whole one, and a page without its
    # end for the last page. As this error of AWS's own it is retried.
    body, promised = response_dict["body"], response_dict["headers"].get("Content-Length")
    whole = isinstance(body, bytes) and operation_model.http["method"] != "HEAD"  # not a stream, and has one
    if whole and promised and len(body) < int(promised):
        response_dict["status_code"] = 408
        json = "json" in response_dict["headers"].get("Content-Type", "")
        response_dict["body"] = CUT_JSON if json else CUT_XML


def reason(error: Exception) -> str:
    """What went wrong and what to do, without a request id or a credential."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "unknown")
        return THROTTLED if code in THROTTLES else ADVICE.get(code, f"AWS answered {code}")
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return "there are no AWS credentials; give them as boto3 takes them, by environment or role"
    if isinstance(error, ResponseParserError):
        return "the answer was cut short or is not AWS's; check AWS_ENDPOINT_URL and proxies"
    return f"AWS cannot be reached ({type(error).__name__})"
