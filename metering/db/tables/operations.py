"""Job runs, approvals, the audit log and the processes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from metering.db.tables.base import INSTANT, METADATA, NOW

# A broker's own count of an hour's messages beside ours; `theirs` NULL where it is not known.
#
# `parts` of AWS IoT: region -> metric -> messages; of a broker: from, to, and how often it restarted.
reconciliations = Table(
    "reconciliations",
    METADATA,
    Column("hour", INSTANT, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("theirs", BigInteger),
    Column("ours", BigInteger, nullable=False),
    Column("parts", JSONB, server_default=text("'{}'"), nullable=False),
    Column("at", INSTANT, nullable=False),
)

# What a broker said it had received since it started, beside all that was ever counted, at once.
broker_samples = Table(
    "broker_samples",
    METADATA,
    Column("broker", Text, primary_key=True),
    Column("at", INSTANT, primary_key=True),
    Column("received", BigInteger, nullable=False),
    Column("uptime_seconds", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
)

# A request for a job and its run. `period` is an hour, day, month or `first..last` as text.
#
# `attempt` counts claims, take-overs included, and fences off former workers; `failed_attempts`
# those that failed for a passing reason, `lost_workers` those whose worker died: both are limited.
job_runs = Table(
    "job_runs",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("job", Text, nullable=False),
    Column("period", Text, nullable=False),
    Column("project_id", BigInteger),
    Column("at", INSTANT, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("dry_run", Boolean, server_default=text("false"), nullable=False),
    Column("arguments", JSONB, server_default=text("'{}'"), nullable=False),
    Column("state", Text, server_default=text("'queued'"), nullable=False),
    Column("attempt", Integer, server_default=text("0"), nullable=False),
    Column("next_attempt_at", INSTANT, server_default=NOW, nullable=False),
    Column("worker", Text),
    Column("heartbeat_at", INSTANT),
    Column("progress", JSONB, server_default=text("'{}'"), nullable=False),
    Column("throttles", BigInteger, server_default=text("0"), nullable=False),
    Column("errors", JSONB, server_default=text("'[]'"), nullable=False),
    Column("result", JSONB),
    Column("created_at", INSTANT, server_default=NOW, nullable=False),
    Column("started_at", INSTANT),
    Column("finished_at", INSTANT),
    Column("failed_attempts", Integer, server_default=text("0"), nullable=False),
    Column("lost_workers", Integer, server_default=text("0"), nullable=False),
    CheckConstraint(
        "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled', 'dead')",
        name="state",
    ),
    Index(
        "job_runs_active_key",
        "job",
        "period",
        text("coalesce(project_id, 0)"),
        "dry_run",
        unique=True,
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
    Index(
        "job_runs_scheduled_key",
        "job",
        "period",
        text("coalesce(project_id, 0)"),
        unique=True,
        postgresql_where=text("trigger = 'schedule'"),
    ),
    Index(
        "job_runs_queue_idx",
        "next_attempt_at",
        postgresql_where=text("state IN ('queued', 'running')"),
    ),
    Index("job_runs_job_id_idx", "job", "id"),
    Index("job_runs_job_period_id_idx", "job", "period", "id"),
    Index("job_runs_state_id_idx", "state", "id"),
    Index(
        "job_runs_trouble_idx",
        "finished_at",
        postgresql_where=text("state IN ('failed', 'dead') OR errors <> '[]'"),
    ),
    Index("job_runs_project_id_id_idx", "project_id", "id", postgresql_where=text("project_id IS NOT NULL")),
)

# A job that the schedule leaves out until `until`, at most 72 hours; one that is over is not read any more.
job_pauses = Table(
    "job_pauses",
    METADATA,
    Column("job", Text, primary_key=True),
    Column("until", INSTANT, nullable=False),
    Column("reason", Text, nullable=False),
    Column("paused_by", Text, nullable=False),
    Column("paused_at", INSTANT, nullable=False),
    CheckConstraint("until > paused_at AND until <= paused_at + interval '72 hours'", name="until"),
)

# What somebody asked for and another person decides; `arguments` say all that the action needs.
approvals = Table(
    "approvals",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("arguments", JSONB, server_default=text("'{}'"), nullable=False),
    Column("reason", Text),
    Column("asked_by", Text, nullable=False),
    Column("asked_at", INSTANT, nullable=False),
    Column("state", Text, server_default=text("'waiting'"), nullable=False),
    Column("decided_by", Text),
    Column("decided_at", INSTANT),
    Column("note", Text),
    CheckConstraint("action IN ('adjustment', 'gap', 'close')", name="action"),
    CheckConstraint("state IN ('waiting', 'approved', 'refused')", name="state"),
    CheckConstraint("decided_by <> asked_by", name="decided_by"),
    CheckConstraint(
        "(state = 'waiting') = (decided_by IS NULL) AND (state = 'waiting') = (decided_at IS NULL)",
        name="decision",
    ),
    Index(
        "approvals_waiting_key",
        "action",
        "subject",
        "arguments",
        unique=True,
        postgresql_where=text("state = 'waiting'"),
    ),
    Index("approvals_action_subject_idx", "action", "subject"),
)


# Who did what to what, before and after. Append-only. Its `install` row dates Fleetmeter.
audit_log = Table(
    "audit_log",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("at", INSTANT, server_default=NOW, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", JSONB),
    Column("after", JSONB),
    Column("reason", Text),
    Column(
        "token_id",
        BigInteger,
        server_default=text("nullif(current_setting('fleetmeter.token', true), '')::bigint"),
    ),
    Index("audit_log_action_at_idx", "action", "at"),
    Index("audit_log_at_id_idx", "at", "id"),
    Index("audit_log_subject_id_idx", "subject", "id"),
)

# Who is alive: one row per process, by the database's clock.
workers = Table(
    "workers",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", INSTANT, server_default=NOW, nullable=False),
    Column("last_seen_at", INSTANT, server_default=NOW, nullable=False),
    Column("figures", JSONB, server_default=text("'{}'"), nullable=False),
)

# A sign-in to the console that ended; `mark` is the SHA-256 of its claims.
sign_outs = Table(
    "sign_outs",
    METADATA,
    Column("mark", Text, primary_key=True),
    Column("at", INSTANT, nullable=False),
)
