"""Describe an error of AWS to an operator: what happened, at which place, what to do."""

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PaginationError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    ReadTimeoutError,
    SSLError,
    SSOError,
)
from botocore.parsers import ResponseParserError

from collectors.aws.malformed import MALFORMED, MalformedAnswer
from collectors.failure import Failure
from metering.config.aws import Place

FAILURES = (ClientError, BotoCoreError, ResponseParserError)
UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)

DENIED = "access denied to {it}; grant what deploy/iam lists"
EXPIRED = "the AWS credentials have expired; renew them"
UNKNOWN = "the AWS credentials are unknown or do not match their secret; correct them"
ELSEWHERE = "{it} is in another region{actual}; correct AWS_REGION, which goes with {variable}"
THROTTLED = "AWS throttled every attempt at {it}; the next hour tries again"
CUT = "the answers of AWS about {it} are cut short; check the network, its proxies and AWS_ENDPOINT_URL"
NONSENSE = "the answer about {it} makes no sense ({detail}); check what AWS_ENDPOINT_URL names"
NOBODY = (
    "there are no AWS credentials; give them as boto3 takes them: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"
)

DENIED_CODES = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403")
ADVICE = {
    **dict.fromkeys(DENIED_CODES, DENIED),
    "NoSuchBucket": "{it} does not exist; correct {variable}",
    "RepositoryNotFoundException": "{it} does not exist; correct {variable}",
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "RequestExpired"), EXPIRED),
    **dict.fromkeys(
        (
            "InvalidAccessKeyId",
            "SignatureDoesNotMatch",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
        ),
        UNKNOWN,
    ),
    **dict.fromkeys(
        (
            *("PermanentRedirect", "301", "307", "IllegalLocationConstraintException"),
            *("AuthorizationHeaderMalformed", "TemporaryRedirect"),
        ),
        ELSEWHERE,
    ),
    "RequestTimeout": CUT,
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it",
}
NOT_SENT = (
    ((NoCredentialsError, PartialCredentialsError), NOBODY),
    (ProfileNotFound, "there is no such AWS profile on this machine; correct AWS_PROFILE"),
    ((SSOError, CredentialRetrievalError), EXPIRED),
    (NoRegionError, "no AWS region is known; set AWS_REGION"),
    (ParamValidationError, "AWS takes no such name as {name}; correct {variable}"),
    (UNREACHABLE, "AWS cannot be reached for {it} ({kind}); check the network and AWS_ENDPOINT_URL"),
)
THROTTLES = {
    "Throttling",
    "ThrottlingException",
    "ThrottledException",
    "RequestLimitExceeded",
    "RequestThrottledException",
    "TooManyRequestsException",
    "SlowDown",
    "RequestThrottled",
    "LimitExceededException",
}
# These are the same for every project, and asking again for each would cost a call, or a minute.
EVERYWHERE = {EXPIRED, UNKNOWN, ELSEWHERE, ADVICE["NoSuchBucket"], ADVICE["RequestTimeTooSkewed"], NOBODY}


def to_failure(error: Exception, place: Place, variable: str, of_one_project: bool = False) -> Failure:
    """Return the failure at `place`, which the setting `variable` names.

    `of_one_project`: the place is a project's own. The reason never holds a request id or a credential.
    """
    if isinstance(error, ClientError):
        return _refused(error, place, variable, of_one_project)
    if isinstance(error, MALFORMED) and not isinstance(error, FAILURES):
        detail = str(error) if isinstance(error, MalformedAnswer) else type(error).__name__
        return Failure(NONSENSE.format(it=_named(place, variable), detail=detail))
    if isinstance(error, ResponseParserError | PaginationError):
        return Failure(CUT.format(it=_named(place, variable)), transient=True)
    if isinstance(error, HTTPClientError) and not isinstance(error, UNREACHABLE):
        return _unanswered(error, place, variable)
    return Failure(_not_sent(error, place, variable), whole_place=True, later=isinstance(error, UNREACHABLE))


def error_code(error: Exception) -> str:
    """Return AWS's code of an error that AWS answered with, "unknown" for any other."""
    response = error.response if isinstance(error, ClientError) else {}
    return str(response.get("Error", {}).get("Code", "unknown"))


def is_denied(error: Exception) -> bool:
    """Return whether AWS refused because a permission is missing."""
    return error_code(error) in DENIED_CODES


def _unanswered(error: Exception, place: Place, variable: str) -> Failure:
    reason = f"AWS did not answer about {_named(place, variable)} ({type(error).__name__})"
    if isinstance(error, ReadTimeoutError):
        return Failure(reason, "timeout", later=True, timed_out=True)
    return Failure(reason, transient=True)


def _refused(error: ClientError, place: Place, variable: str, of_one_project: bool) -> Failure:
    code = error_code(error)
    metadata = error.response.get("ResponseMetadata", {})
    region = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    template = THROTTLED if code in THROTTLES else ADVICE.get(code, "AWS answered {code} about {it}")
    reason = template.format(
        it=_named(place, variable), variable=variable, code=code, actual=f", {region}" if region else ""
    )
    # Where each project has a repository of its own, another project's may exist.
    missing_alone = of_one_project and code == "RepositoryNotFoundException"
    return Failure(
        reason,
        "denied" if is_denied(error) else "failed",
        transient=template in (THROTTLED, CUT) or metadata.get("HTTPStatusCode", 0) >= 500,
        whole_place=template in EVERYWHERE and not missing_alone,
    )


def _not_sent(error: Exception, place: Place, variable: str) -> str:
    sentences = (sentence for kinds, sentence in NOT_SENT if isinstance(error, kinds))
    return next(sentences, "{it} could not be read ({kind})").format(
        it=_named(place, variable), variable=variable, kind=type(error).__name__, name=place.name
    )


def _named(place: Place, variable: str) -> str:
    kind = "the bucket " if "BUCKET" in variable else "the repository " if "REPOSITORY" in variable else ""
    return f"{kind}{place.name}" + (f" ({place.region})" if place.region else "")
