"""What AWS's errors mean to an operator: what happened, to which bucket or repository, what to do."""

from dataclasses import dataclass

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

from metering.config.aws import Place

FAILURES = (ClientError, BotoCoreError, ResponseParserError)
UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError, SSLError)

DENIED = "access denied to {it}; grant what deploy/iam lists"
EXPIRED = "the AWS credentials have expired; renew them"
UNKNOWN = "the AWS credentials are unknown or do not match their secret; correct them"
ELSEWHERE = "{it} is in another region{found}; correct AWS_REGION, which goes with {variable}"
THROTTLED = "AWS throttled every attempt at {it}; the next hour tries again"
CUT = "the answers of AWS about {it} are cut short; check the network, its proxies and AWS_ENDPOINT_URL"
NOBODY = (
    "there are no AWS credentials; give them as boto3 takes them: AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role"
)

ADVICE = {
    **dict.fromkeys(("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403"), DENIED),
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
UNASKED = (
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


@dataclass(frozen=True)
class Failure:
    """Why something was not read.

    `passing`: in a moment it may be; `later`: in some minutes; `whole`: so is all else of its place;
    `silent`: no answer came in time, which took minutes to find out.
    """

    reason: str
    passing: bool = False
    whole: bool = False
    later: bool = False
    silent: bool = False


def failure(error: Exception, place: Place, variable: str) -> Failure:
    """What went wrong at `place`, which `variable` names; without a request id or a credential."""
    if isinstance(error, ClientError):
        return _answered(error, place, variable)
    if isinstance(error, ResponseParserError | PaginationError):
        return Failure(CUT.format(it=_named(place, variable)), passing=True)
    if isinstance(error, HTTPClientError) and not isinstance(error, UNREACHABLE):
        said = f"AWS did not answer about {_named(place, variable)} ({type(error).__name__})"
        silent = isinstance(error, ReadTimeoutError)
        return Failure(said, passing=not silent, later=silent, silent=silent)
    return Failure(_not_asked(error, place, variable), whole=True, later=isinstance(error, UNREACHABLE))


def reason(error: Exception, place: Place, variable: str) -> str:
    """The failure's sentence."""
    return failure(error, place, variable).reason


def _answered(error: ClientError, place: Place, variable: str) -> Failure:
    code = str(error.response.get("Error", {}).get("Code", "unknown"))
    meta = error.response.get("ResponseMetadata", {})
    region = meta.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    template = THROTTLED if code in THROTTLES else ADVICE.get(code, "AWS answered {code} about {it}")
    reason = template.format(
        it=_named(place, variable), variable=variable, code=code, found=f", {region}" if region else ""
    )
    passing = template in (THROTTLED, CUT) or meta.get("HTTPStatusCode", 0) >= 500
    # Whether a repository is there is another question for each project that has its own.
    missing = "{" in place.name and code == "RepositoryNotFoundException"
    return Failure(reason, passing, whole=template in EVERYWHERE and not missing)


def _not_asked(error: Exception, place: Place, variable: str) -> str:
    known = (said for kinds, said in UNASKED if isinstance(error, kinds))
    return next(known, "{it} could not be read ({kind})").format(
        it=_named(place, variable), variable=variable, kind=type(error).__name__, name=place.name
    )


def _named(place: Place, variable: str) -> str:
    kind = "the bucket " if "BUCKET" in variable else "the repository " if "REPOSITORY" in variable else ""
    return f"{kind}{place.name}" + (f" ({place.region})" if place.region else "")
