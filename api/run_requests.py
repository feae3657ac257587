"""Requests for runs: the body of the HTTP request, its checks, and the request for the queue."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from api.access import Access, visible
from api.parameters import DATE, Id
from api.problems import Problem
from jobs import queue
from metering.catalogue import projects
from metering.catalogue.periods import parse_instant
from metering.db import clock
from metering.runs.requests import Request

JOBS = "|".join(queue.BY_NAME)


class NewRun(BaseModel):
    """A request for a job; its period follows from `at`."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"job": "daily", "at": "2026-11-24T00:05:00Z", "dry_run": True}]},
    )

    job: Annotated[str, Field(pattern=f"^(?:{JOBS})$", description=f"One of {JOBS.replace('|', ', ')}.")]
    at: Annotated[
        str | None,
        Field(max_length=40, description="Taken as now.", json_schema_extra={"format": "date-time"}),
    ] = None
    project_id: Id | None = None
    dry_run: Annotated[bool, Field(strict=True)] = False
    first: Annotated[
        str | None, Field(alias="from", pattern=DATE, description="For backfill: the first day.")
    ] = None
    last: Annotated[
        str | None, Field(alias="to", pattern=DATE, description="For backfill: the last day.")
    ] = None


def refuse_range(body: NewRun) -> None:
    """Raise Problem 422 for days of a job that takes none, and for a backfill without both."""
    range_days = [day for day in (body.first, body.last) if day is not None]
    if body.job == "backfill" and len(range_days) < 2:
        raise Problem(422, "a backfill takes `from` and `to`, its first and last day", "period-error")
    if body.job != "backfill" and range_days:
        raise Problem(422, f"`from` and `to` are for backfill; what {body.job} works on follows from `at`")


def require_permission(access: Access, body: NewRun) -> None:
    """Refuse a project of another organization. Raises Problem 403, UnknownProject."""
    project_id = body.project_id
    if project_id is not None:
        visible(access, lambda: projects.require(access.connection, project_id))
    elif access.caller.organization_id is not None:
        raise Problem(403, "a token of an organization asks for runs of its own projects: name `project_id`")


def request(access: Access, body: NewRun) -> Request:
    """Return the request for the queue. Raises Problem 422 for an instant in the future."""
    clock.require(access.connection, access.at, access.server.settings.clock_tolerance)
    at = access.at if body.at is None else _past(body.at, access.at)
    arguments = {"from": body.first, "to": body.last} if body.job == "backfill" else {}
    name, dry_run = access.caller.name, body.dry_run
    run_request = queue.request(body.job, at, "api", name, body.project_id, dry_run, arguments)
    queue.find(body.job).check(access.connection, run_request)
    return run_request


def _past(instant_text: str, now: datetime) -> datetime:
    at = parse_instant(instant_text)
    if at > now:
        raise Problem(422, f"`at` is in the future; it is {now:%Y-%m-%dT%H:%M:%SZ}", "period-error")
    return at
