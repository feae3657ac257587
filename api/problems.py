"""Problem details (RFC 9457): every refusal and failure of the API as one JSON object.

`type` says by a fixed name what kind of problem it is; programs decide by it and by `status`, people read
`detail`. A failure of ours has no detail: what went wrong is in the log, under the request's id.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.responses import JSONResponse, Response

from metering import errors
from metering.db.engine import is_away, is_denied
from metering.errors import FleetmeterError

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = 2
TITLES = {
    400: "Bad request",
    401: "No valid token",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    421: "Misdirected request",
    422: "Invalid request",
    429: "Too many requests",
    500: "Failure",
    503: "Not available",
}
# What an error of the domain means to a client. Whatever is not listed is a refusal of the request as it is.
STATUS: tuple[tuple[tuple[type[FleetmeterError], ...], int], ...] = (
    ((errors.UnknownProject, errors.UnknownOrganization, errors.UnknownGap, errors.UnknownAlert), 404),
    ((errors.UnknownToken,), 404),
    ((errors.MonthClosed, errors.PlanError, errors.ProjectInactive), 409),
    ((errors.DatabaseUnavailable, errors.DatabaseRefused, errors.LockTimeout, errors.SchemaError), 503),
    ((errors.ClockWrong, errors.ScopeNotEnforced, errors.SourceUnavailable, errors.SettingsError), 503),
)
CANCELED = "57014"  # PostgreSQL's code for a statement that took longer than its timeout


class Problem(Exception):
    """A request that is not answered as it was asked; becomes one JSON object."""

    def __init__(
        self,
        status: int,
        detail: str,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind = status, detail, kind
        self.headers, self.errors = dict(headers or {}), errors


def response(problem: Problem) -> Response:
    """Return the answer that describes `problem`."""
    title = TITLES.get(problem.status, "Problem")
    kind = problem.kind or title.lower().replace(" ", "-")
    body: dict[str, Any] = {"type": f"urn:fleetmeter:problem:{kind}", "title": title}
    body |= {"status": problem.status, "detail": problem.detail}
    if problem.errors is not None:
        body["errors"] = problem.errors
    headers = {"Cache-Control": "no-store"} | problem.headers
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def unauthenticated(detail: str = "this address takes `Authorization: Bearer` with a valid token") -> Problem:
    """Return the problem of a request without a valid token."""
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="fleetmeter"'})


def of_error(error: Exception) -> Problem | None:
    """Return the problem that `error` is to the client; None for an error that nobody foresaw."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, FleetmeterError):
        return _of_domain(error)
    if isinstance(error, PoolTimeout):
        return _busy("every connection to the database is in use; try again")
    if isinstance(error, DBAPIError):
        return _of_database(error)
    return None


def _of_domain(error: FleetmeterError) -> Problem:
    status = next((status for kinds, status in STATUS if isinstance(error, kinds)), 422)
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__).lower()
    if status == 503:
        # Its sentence names hosts and roles, for the operator of the server, who finds it in the log.
        return _busy("the server cannot answer now; try again, and tell whoever runs it", name)
    return Problem(status, str(error), name)


def _of_database(error: DBAPIError) -> Problem | None:
    if is_away(error):
        return _busy("the database cannot be reached; try again")
    if getattr(error.orig, "pgcode", None) == CANCELED:
        return _busy("the answer took too long to compute; ask for less at a time")
    if is_denied(error):
        return _busy("the server may not do this with its database role; tell whoever runs it")
    return None


def _busy(detail: str, kind: str | None = None) -> Problem:
    return Problem(503, detail, kind, {"Retry-After": str(RETRY_SECONDS)})


def failure() -> Problem:
    """Return the problem of a failure of ours; its cause is in the log."""
    return Problem(500, "the server failed at this request; its log says why, under the request's id")
