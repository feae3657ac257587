"""Clients of AWS, and its errors in the operator's words."""

from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from metering.settings import Settings

CONCURRENCY = 8  # projects read at once; the connection pool is as large
RETRIES = Config(
    retries={"mode": "adaptive", "total_max_attempts": 8},
    max_pool_connections=CONCURRENCY,
    connect_timeout=5,
    read_timeout=30,
)

ADVICE = {
    "AccessDenied": "access denied; grant what deploy/iam lists",
    "AccessDeniedException": "access denied; grant what deploy/iam lists",
    "NoSuchBucket": "the bucket does not exist; correct S3_BUCKET",
    "RepositoryNotFoundException": "the repository does not exist; correct ECR_REPOSITORY_URI",
    "PermanentRedirect": "the bucket is in another region; correct AWS_REGION",
    "ExpiredToken": "the credentials have expired; renew them",
    "ExpiredTokenException": "the credentials have expired; renew them",
    "InvalidAccessKeyId": "the credentials are unknown; correct them",
}


def client(settings: Settings, service: str, region: str | None = None) -> Any:
    """A client that backs off, with jitter, when it is throttled."""
    region = region or (settings.aws_region[0] if settings.aws_region else None)
    return boto3.session.Session().client(
        service,  # type: ignore[call-overload]
        region_name=region,
        endpoint_url=settings.aws_endpoint_url,
        config=RETRIES,
    )


def reason(error: ClientError | BotoCoreError) -> str:
    """What went wrong and what to do, without a request id or a credential."""
    if isinstance(error, ClientError):
        code = error.response.get("Error", {}).get("Code", "unknown")
        return ADVICE.get(code, f"AWS answered {code}")
    if isinstance(error, NoCredentialsError):
        return "there are no AWS credentials; give them as boto3 takes them, by environment or role"
    return f"AWS cannot be reached ({type(error).__name__})"
