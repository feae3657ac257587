"""The actions of people: each checks the role it needs and records the change in the audit log.

A page never runs a job: it puts a request into the queue, which a runner takes up. Rows are written with the
database's instant where the host's clock differs from it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from console.data.transactions import WriteTransaction, write_transaction
from jobs import queue
from metering.alerts import alerts, thresholds
from metering.config.settings import current_settings
from metering.db import audit_log, tokens
from metering.db.transactions import advisory_lock
from metering.organizations import budgets
from metering.pricing import plans
from metering.runs.requests import Request

# The second press of a double click, in this tab or another, has the result of the first: a lock serialises
# them, and the second one finds the row of the first in the database.
DOUBLE_CLICK = timedelta(seconds=3)
Run = Mapping[str, Any]


def ask(
    job: str,
    period: str,
    at: datetime,
    project_id: int | None = None,
    arguments: Mapping[str, Any] | None = None,
    dry_run: bool = False,
) -> int:
    """Queue `job` and return its run's id; while the same run waits or works, that one's id.

    The second press of a double click may come after a quick run has ended: it returns that run as well.
    """
    with write_transaction(queue.role(job, dry_run)) as by:
        by.require_clock()
        request = Request(job, period, at, "console", by.actor, project_id, dry_run, arguments or {})
        before = _recent_run(by, request)
        if before is not None:
            return before
        run = queue.enqueue(by.connection, request) or 0
        _note(by, "preview" if dry_run else "request", f"{job} {period}", None, _run(by, run))
    return run


def _recent_run(by: WriteTransaction, request: Request) -> int | None:
    """Return the run of the same request by this person a moment ago; serialises requests."""
    advisory_lock(by.connection, "ask")
    return queue.recent(by.connection, request, DOUBLE_CLICK)


def cancel(run: int) -> None:
    """Take a queued run out of the queue, or ask a running one to stop."""
    with write_transaction("operator") as by:
        before = _run(by, run)
        queue.cancel(by.connection, run)
        _note(by, "cancel", f"run {run}", before, _run(by, run))


def retry(run: int) -> int:
    """Queue again the work that failed or was left out; return the run's id."""
    with write_transaction("operator") as by:
        before = queue.find_run(by.connection, run)
    if before is None:
        return run
    with write_transaction(queue.role(before["job"], before["dry_run"])) as by:
        names = ("job", "period", "at", "project_id", "dry_run")
        repeated = {name: before[name] for name in names}
        again = _recent_run(by, Request(**repeated, trigger="retry", requested_by=by.actor))
        if again is None:
            again = int(queue.retry(by.connection, run, by.actor) or run)
            _note(by, "retry", f"run {run}", _run(by, run), _run(by, again))
    return again


def discard(runs: Sequence[int]) -> None:
    """Mark dead letters as cancelled."""
    with write_transaction("admin") as by:
        for run in runs:
            before = _run(by, run)
            queue.discard(by.connection, run)
            _note(by, "discard", f"run {run}", before, _run(by, run))


def acknowledge(alert_ids: Sequence[int], note: str) -> None:
    """Acknowledge these alerts."""
    with write_transaction("operator") as by:
        for alert in alert_ids:
            alerts.acknowledge(by.connection, alert, by.actor, note)


def set_thresholds(organization: int, meter: str | None, percents: Sequence[int]) -> None:
    """Set the shares of an allowance at which a customer's limits are reported. Raises BudgetRefused."""
    with write_transaction("operator") as by:
        thresholds.save(by.connection, organization, meter, percents, by.actor)


def set_budget(whose: str, identity: int, amount: Decimal | None, currency: str, at: datetime) -> None:
    """Set the budget of an `organization` or a `project`; without an amount, remove it.

    Raises BudgetRefused, UnknownProject.
    """
    target = {f"{whose}_id": identity}
    with write_transaction("operator") as by:
        at = by.agreed(at)
        if amount is None:
            budgets.remove(by.connection, by.actor, **target)
        else:
            offered = plans.load(current_settings().plans)
            budgets.save(by.connection, offered, at, amount, currency, by.actor, **target)


def pause(job: str, until: datetime, reason: str, at: datetime) -> None:
    """Pause the schedule of a job until `until`. Raises PauseRefused."""
    with write_transaction("operator") as by:
        at = by.agreed(at)
        queue.pause(by.connection, job, until, reason, by.actor, at)


def resume(job: str, at: datetime) -> None:
    """End the pause of a job. Raises PauseRefused if it is not paused."""
    with write_transaction("operator") as by:
        at = by.agreed(at)
        queue.resume(by.connection, job, by.actor, at)


def _run(by: WriteTransaction, run: int) -> Run | None:
    row = queue.find_run(by.connection, run)
    names = ("job", "period", "project_id", "dry_run", "state", "attempt", "arguments")
    return None if row is None else {"run": row["id"]} | {name: row[name] for name in names}


def _note(by: WriteTransaction, action: str, subject: str, before: Run | None, after: Run | None) -> None:
    audit_log.record(by.connection, by.actor, action, subject, before, after)


def create_token(name: str, role: str, organization: int | None, days: int | None, at: datetime) -> str:
    """Create a token of the HTTP API and return it, once only. Raises TokenRefused and its subclasses."""
    with write_transaction("admin") as by:
        at = by.agreed(at)
        return tokens.create(by.connection, name, role, organization, days, by.actor, at)


def revoke_token(token: int, at: datetime) -> None:
    """Revoke a token of the HTTP API. Raises UnknownToken."""
    with write_transaction("admin") as by:
        at = by.agreed(at)
        tokens.revoke(by.connection, token, by.actor, at)
