"""Define the rules of alerts, one query for each kind, in the order in which they are evaluated.

A row is an incident: severity, project_id (NULL: of no single project), subject (the cause) and detail.
`:at` is the instant of the refresh; `:month` is its month, as 2026-11. A rule leaves out what an earlier
rule has opened an incident about, since one cause is one incident.
"""

from metering.alerts.rules import counting, days, jobs, limits, months, sources

RULES = {
    "clock_wrong": counting.CLOCK_WRONG,
    "counter_silent": counting.COUNTER_SILENT,
    "session_lost": counting.SESSION_LOST,
    "client_id_taken": counting.CLIENT_ID_TAKEN,
    "drift": counting.DRIFT,
    "source_failed": sources.SOURCE_FAILED,
    "job_failed": jobs.JOB_FAILED,
    "job_late": jobs.JOB_LATE,
    "dead_letter": jobs.DEAD_LETTER,
    "worker_lost": jobs.WORKER_LOST,
    "snapshot_missing": days.SNAPSHOT_MISSING,
    "coverage": days.UNCOVERED,
    "unbilled": months.UNBILLED,
    "month_blocked": months.MONTH_BLOCKED,
    "project_moved": months.PROJECT_MOVED,
    "correction_not_applied": months.CORRECTION_NOT_APPLIED,
    "correction_moved": months.CORRECTION_MOVED,
    "limit": limits.LIMIT,
    "budget": limits.BUDGET,
}
MENDED = jobs.MENDED
KINDS = (*RULES, "anomaly")  # days are judged by a job, not by a rule
