"""Bind each job's definition to the task that does its work."""

from jobs.tasks import anomalies, archive, backfill, daily, hourly, monthly, reconcile, retention
from metering.runs.execution import Tasks

TASKS: Tasks = {
    "hourly": hourly.run,
    "daily": daily.run,
    "monthly": monthly.run,
    "anomalies": anomalies.run,
    "reconcile": reconcile.run,
    "archive": archive.run,
    "retention": retention.run,
    "backfill": backfill.run,
}
