"""Runs of jobs: the latest, asking for one, cancelling and repeating one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from api import answers, cursors, pages, run_requests
from api.access import Access, read, require_role, visible, write
from api.pages import Rows
from api.parameters import LARGEST_ID, PAGE, Cursor, Limit, OfProject, RunId
from api.problems import Problem
from api.requests import ApiRoute
from api.schemas import RunShape, listing
from jobs import queue
from metering.catalogue import projects
from metering.db import audit_log
from metering.db.callers import Caller

router = APIRouter(tags=["Runs"], route_class=ApiRoute)
NAMES = (
    *("id", "job", "period", "at", "project_id", "dry_run", "trigger", "requested_by", "state", "attempt"),
    *("progress", "errors", "result", "created_at", "started_at", "finished_at"),
)
NOTED = ("job", "period", "project_id", "dry_run", "state", "attempt", "arguments")
LIST = text(f"""
    SELECT {", ".join(NAMES)} FROM job_runs
    WHERE id < :before AND (CAST(:project AS bigint) IS NULL OR project_id = :project)
        AND (CAST(:job AS text) IS NULL OR job = :job)
        AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY id DESC LIMIT :most""")
STATES = "queued|running|succeeded|failed|cancelled|dead"
Body = dict[str, Any]


@router.get("/runs", response_model=listing(RunShape), summary="The latest runs")
def runs(
    request: Request,
    project_id: OfProject = None,
    job: Annotated[str | None, Query(pattern=f"^(?:{run_requests.JOBS})$")] = None,
    state: Annotated[str | None, Query(pattern=f"^(?:{STATES})$")] = None,
    limit: Limit = PAGE,
    cursor: Cursor = None,
) -> Response:
    """Return runs, newest first; a token of an organization sees those of its projects."""
    key = cursors.decode(request, cursor, cursors.number) or [LARGEST_ID]
    filters = {"before": key[0], "project": project_id, "job": job, "state": state}

    def rows(access: Access, most: int) -> Rows:
        if project_id is not None:
            projects.require(access.connection, project_id)
        run_rows = access.connection.execute(LIST, filters | {"most": most}).mappings()
        return [_visible(dict(row), access.caller) for row in run_rows]

    return pages.answer(request, rows, limit, lambda row: [row["id"]], NAMES)


@router.get("/runs/{run_id}", response_model=RunShape, summary="One run")
def run(request: Request, run_id: RunId) -> Response:
    """Return a run as it is now."""
    return answers.one(request, read(request, lambda access: _visible(_find(access, run_id), access.caller)))


@router.post("/runs", status_code=202, response_model=RunShape, summary="Ask for a run")
def ask(request: Request, body: run_requests.NewRun) -> Response:
    """Queue a job for a runner; while the same run waits or works, the answer is that one."""
    run_requests.refuse_range(body)

    def effect(access: Access) -> Response:
        run_requests.require_permission(access, body)
        run_id = queue.enqueue(access.connection, run_requests.request(access, body))
        row = _of(access, run_id)
        if row["requested_by"] == access.caller.name and row["state"] == "queued":
            action = "preview" if body.dry_run else "request"
            _note(access, action, f"{row['job']} {row['period']}", None, row)
        return _accepted(access, row)

    return write(request, effect, queue.role(body.job, body.dry_run))


@router.post("/runs/{run_id}/cancel", status_code=202, response_model=RunShape, summary="Cancel a run")
def cancel(request: Request, run_id: RunId) -> Response:
    """Take a queued run out of the queue, or ask a running one to stop. 409 if it has ended."""

    def effect(access: Access) -> Response:
        before = visible(access, lambda: _find(access, run_id))
        if not queue.cancel(access.connection, run_id):
            raise Problem(409, f"run {run_id} has ended: it is {before['state']}", "run-ended")
        row = _of(access, run_id)
        _note(access, "cancel", f"run {run_id}", before, row)
        return _accepted(access, row)

    return write(request, effect, "operator")


@router.post("/runs/{run_id}/retry", status_code=202, response_model=RunShape, summary="Repeat a run")
def retry(request: Request, run_id: RunId) -> Response:
    """Ask again for what a run left undone; the answer is the new run. 409 if nothing is left to do."""

    def effect(access: Access) -> Response:
        before = visible(access, lambda: _find(access, run_id))
        require_role(access.caller, queue.role(before["job"], before["dry_run"]))
        new_run_id = queue.retry(access.connection, run_id, access.caller.name)
        if new_run_id is None:
            raise Problem(409, f"run {run_id} left nothing undone: it is {before['state']}", "nothing-to-do")
        row = _of(access, new_run_id)
        _note(access, "retry", f"run {run_id}", before, row)
        return _accepted(access, row)

    return write(request, effect, "operator")


def _find(access: Access, run_id: int) -> Body:
    row = queue.find_run(access.connection, run_id)
    if row is None:
        raise Problem(404, f"there is no run {run_id}", "unknown-run")
    return row


def _of(access: Access, run_id: int | None) -> Body:
    return _find(access, run_id or 0)


def _accepted(access: Access, row: Body) -> Response:
    return answers.created(202, _visible(row, access.caller), f"/api/v1/runs/{row['id']}")


def _note(access: Access, action: str, subject: str, before: Body | None, after: Body) -> None:
    values_before = None if before is None else _audit_values(before)
    actor, values_after = access.caller.name, _audit_values(after)
    audit_log.record(access.connection, actor, action, subject, values_before, values_after, at=access.at)


def _audit_values(row: Body) -> Body:
    return {"run": row["id"]} | {name: row[name] for name in NOTED}


def _visible(row: Body, caller: Caller) -> Body:
    """Return the run as `caller` sees it: an organization does not read who works for the platform."""
    fields = {name: row[name] for name in NAMES}
    if caller.organization_id is not None:
        own = row["requested_by"] == caller.name
        fields["requested_by"] = row["requested_by"] if own else "the platform"
        names = ("project_id", "source")
        fields["errors"] = [{name: error.get(name) for name in names} for error in row["errors"]]
        fields["result"] = None
    return fields
