"""Every table. Columns of counters and gauges derive from the catalogue in `meters`.

Platform tables carry `info={"owner": "platform"}`: Fleetmeter reads them and never alters them.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, GAUGES
from metering.catalogue.sources import SOURCES

NAMING = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_name)s_fkey",
    "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
    "ck": "%(table_name)s_%(constraint_name)s_check",
}
PLATFORM = {"owner": "platform"}
NOW = text("now()")


class Base(DeclarativeBase):
    """Base of our tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it as a class attribute
        int: BigInteger,
        str: Text,
        datetime: DateTime(timezone=True),
        Decimal: Numeric,
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        list[int]: ARRAY(BigInteger),
        list[str]: ARRAY(Text),
    }


def _counters(prefix: str = "") -> list[Column[Any]]:
    zero = text("0")
    return [Column(prefix + name, BigInteger, nullable=False, server_default=zero) for name in COUNTER_NAMES]


def _levels(names: tuple[str, ...], prefix: str = "") -> list[Column[Any]]:
    return [Column(prefix + name, BigInteger) for name in names]


def _form() -> Column[Any]:
    return Column("form", SmallInteger, nullable=False, server_default=text("1"))


def _meters(name: str = "meters") -> Column[Any]:
    """Meters of the platform's own: name -> number."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'"))


def _project(**options: Any) -> Column[Any]:
    return Column("project_id", BigInteger, ForeignKey("projects.id"), nullable=False, **options)


def _organization() -> Column[Any]:
    return Column("organization_id", BigInteger, ForeignKey("organizations.id"), nullable=False)


def _created_at() -> Column[Any]:
    return Column("created_at", DateTime(timezone=True), nullable=False, server_default=NOW)


def _platform_table(name: str, *columns: Column[Any]) -> Table:
    return Table(
        name,
        Base.metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        *columns,
        _created_at(),
        info=PLATFORM,
    )


organizations = _platform_table(
    "organizations",
    Column("name", Text, nullable=False),
    Column("tier", Text, nullable=False, server_default=text("'free'")),
)
users = _platform_table("users", _organization(), Column("email", Text, nullable=False))
projects = _platform_table(
    "projects",
    _organization(),
    Column("name", Text, nullable=False),
    Column("is_active", Boolean, nullable=False, server_default=text("true")),
    Column("deactivated_at", DateTime(timezone=True)),
)
devices = _platform_table(
    "devices",
    _project(),
    Column("name", Text, nullable=False),
    Column("last_seen_at", DateTime(timezone=True)),
)
sessions = _platform_table("sessions", _project(), Column("device_id", BigInteger))
logs = _platform_table(
    "logs",
    _project(),
    Column("device_id", BigInteger),
    Column("size_bytes", BigInteger, nullable=False, server_default=text("0")),
)
deployments = _platform_table("deployments", _project())
api_calls = _platform_table("api_calls", _project())
data_transfers = _platform_table(
    "data_transfers",
    _project(),
    Column("kind", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False, server_default=text("0")),
)


class UsageHourly(Base):
    """The ledger: project by UTC hour. `measured` maps a source to the instant it was read up to."""

    __table__ = Table(
        "usage_hourly",
        Base.metadata,
        _project(primary_key=True),
        Column("hour", DateTime(timezone=True), primary_key=True),
        *_counters(),
        *_levels(GAUGE_NAMES),
        Column("measured", JSONB, nullable=False, server_default=text("'{}'")),
        _meters(),
        postgresql_partition_by="RANGE (hour)",
    )
    project_id: Mapped[int]
    hour: Mapped[datetime]


class ProjectStats(Base):
    """Running totals of the open month; this row is the project's mutex (rule 12 of docs/architecture.md)."""

    __table__ = Table(
        "project_stats",
        Base.metadata,
        _project(primary_key=True),
        *_counters(),
        *_levels(tuple(gauge.live for gauge in GAUGES)),
        *_counters("lifetime_"),
        _meters(),
        _meters("lifetime_meters"),
        Column("open_from", DateTime(timezone=True), nullable=False),
        Column("updated_at", DateTime(timezone=True), nullable=False),
        *(Column(source.measured_at, DateTime(timezone=True)) for source in SOURCES),
        Column("judged_at", DateTime(timezone=True)),
        Index("project_stats_open_from_idx", "open_from"),
    )
    project_id: Mapped[int]
    open_from: Mapped[datetime]


class DailyStats(Base):
    """A sealed UTC day: immutable, hashed in its `form`. `coverage` says how well it was measured."""

    __table__ = Table(
        "daily_stats",
        Base.metadata,
        _project(primary_key=True),
        Column("date", Date, primary_key=True),
        _organization(),
        Column("year", SmallInteger, nullable=False),
        Column("month", SmallInteger, nullable=False),
        Column("day", SmallInteger, nullable=False),
        *_counters(),
        *_levels(GAUGE_NAMES),
        Column("tier", Text, nullable=False),
        Column("coverage", JSONB, nullable=False),
        _form(),
        _meters(),
        Column("row_hash", Text, nullable=False),
        _created_at(),
        Index("daily_stats_organization_id_date_idx", "organization_id", "date"),
        Index("daily_stats_created_at_idx", "created_at", postgresql_using="brin"),
        Index("daily_stats_date_idx", "date"),
        Index(
            "daily_stats_incomplete_idx",
            "date",
            postgresql_where=text(
                'coverage @? \'$.*.state ? (@ == "partial" || @ == "missing"'
                ' || @ == "denied" || @ == "failed")\''
            ),
        ),
        postgresql_partition_by="RANGE (date)",
    )
    project_id: Mapped[int]
    date: Mapped[date]


class PlanVersion(Base):
    """The plans that rated a month, as they were; `hash` is the SHA-256 of the canonical content."""

    __tablename__ = "plan_versions"

    hash: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class MonthlyStats(Base):
    """A closed UTC month: totals, peaks, tier, overage and its seal. Immutable."""

    __table__ = Table(
        "monthly_stats",
        Base.metadata,
        _project(primary_key=True),
        Column("year", SmallInteger, primary_key=True),
        Column("month", SmallInteger, primary_key=True),
        _organization(),
        *_counters(),
        *_levels(GAUGE_NAMES, "peak_"),
        Column("tier", Text, nullable=False),
        Column("exceeded_limits", JSONB, nullable=False),
        Column("overage_charge", Numeric, nullable=False),
        Column("plan_fee", Numeric, nullable=False),
        Column("adjustment_charge", Numeric, nullable=False),
        Column("total_charge", Numeric, nullable=False),
        Column("currency", Text, nullable=False),
        Column("plan_version", Text, ForeignKey("plan_versions.hash"), nullable=False),
        Column("days_present", SmallInteger, nullable=False),
        Column("days_expected", SmallInteger, nullable=False),
        Column("owners", JSONB, nullable=False, server_default=text("'[]'")),
        Column("later_readings", JSONB, nullable=False, server_default=text("'[]'")),
        Column("versions", JSONB, nullable=False, server_default=text("'[]'")),
        _form(),
        _meters(),
        Column("previous_seal", Text, nullable=False),
        Column("seal", Text, nullable=False),
        Column("closed_by", Text, nullable=False),
        _created_at(),
        Index("monthly_stats_organization_id_year_month_idx", "organization_id", "year", "month"),
        Index("monthly_stats_year_month_idx", "year", "month"),
    )
    project_id: Mapped[int]
    year: Mapped[int]
    month: Mapped[int]


class Adjustment(Base):
    """A correction posted into an open month: a quantity of a meter, an amount of money, or both.

    A quantity with an amount is about a closed month and bills the amount, what it is worth there. An
    amount without `currency` was posted before there was one.

    `usage_date` is the date it speaks about, `posted_month` the first day of the month that bills
    it. Append-only: a wrong one is reversed by another.
    """

    __tablename__ = "adjustments"
    __table_args__ = (
        CheckConstraint(
            "(meter IS NULL) = (quantity IS NULL) AND (quantity IS NOT NULL OR amount IS NOT NULL)"
            " AND (currency IS NULL OR amount IS NOT NULL)",
            name="quantity_or_amount",
        ),
        CheckConstraint("extract(day FROM posted_month) = 1", name="posted_month"),
        Index("adjustments_posted_month_project_id_idx", "posted_month", "project_id"),
        Index(
            "adjustments_late_rows_key",
            "project_id",
            "usage_date",
            "meter",
            unique=True,
            postgresql_where=text("kind = 'late_rows'"),
        ),
    )

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True)
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str] = mapped_column(server_default=text("'correction'"))
    meter: Mapped[str | None]
    quantity: Mapped[int | None]
    amount: Mapped[Decimal | None]
    currency: Mapped[str | None]
    usage_date: Mapped[date]
    posted_month: Mapped[date]
    reverses: Mapped[int | None]
    reason: Mapped[str]
    actor: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Gap(Base):
    """A source was blind during `[starts_at, ends_at)`; `project_ids` NULL means every project.

    `client_id` names the counter it is of. `kind`: silent (covered once read again), session_lost,
    taken_over (another client used the id), retired, other.
    """

    __tablename__ = "gaps"
    __table_args__ = (Index("gaps_source_starts_at_idx", "source", "starts_at"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    source: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime | None]
    kind: Mapped[str] = mapped_column(server_default=text("'other'"))
    reason: Mapped[str]
    project_ids: Mapped[list[int] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    covered_at: Mapped[datetime | None]
    accepted_by: Mapped[str | None]
    accepted_at: Mapped[datetime | None]
    accepted_reason: Mapped[str | None]
    client_id: Mapped[str | None]


class UnattributedMessages(Base):
    """MQTT messages of an hour that match no project, by reason; a few sample topics, cut short."""

    __tablename__ = "unattributed_messages"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    messages: Mapped[int]
    sample_topics: Mapped[list[str]]
    updated_at: Mapped[datetime] = mapped_column(server_default=NOW)


class Reconciliation(Base):
    """A broker's own count of an hour's messages beside ours; `theirs` NULL where it is not known.

    `parts` of AWS IoT: region -> metric -> messages; of a broker: from, to, and how often it restarted.
    """

    __tablename__ = "reconciliations"

    hour: Mapped[datetime] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(primary_key=True)
    theirs: Mapped[int | None]
    ours: Mapped[int]
    parts: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    at: Mapped[datetime]


class BrokerSample(Base):
    """What a broker said it had received since it started, beside all that was ever counted, at once."""

    __tablename__ = "broker_samples"

    broker: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    received: Mapped[int]
    uptime_seconds: Mapped[int]
    counted: Mapped[int]


class LogLevel(Base):
    """Bytes of a project's log entries created before `until`, so that only newer ones are summed."""

    __tablename__ = "log_levels"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True, autoincrement=False)
    bytes: Mapped[int | None]  # NULL: not known
    until: Mapped[datetime]


class CatalogueReading(Base):
    """An instant at which the platform's organizations and projects were read."""

    __tablename__ = "catalogue_readings"

    at: Mapped[datetime] = mapped_column(primary_key=True)


class OrganizationTier(Base):
    """A tier of an organization, from the reading that first found it until the next row's."""

    __tablename__ = "organization_tiers"

    organization_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    read_from: Mapped[datetime] = mapped_column(primary_key=True)
    tier: Mapped[str]


class ProjectOwner(Base):
    """An owner of a project, from the reading that first found it until the next row's.

    A trigger keeps `owned_from` and `owned_until`; the first reading counts for all time before it.
    """

    __tablename__ = "project_owners"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    read_from: Mapped[datetime] = mapped_column(primary_key=True)
    organization_id: Mapped[int] = mapped_column(index=True)
    owned_from: Mapped[datetime] = mapped_column(server_default=text("'-infinity'"))
    owned_until: Mapped[datetime] = mapped_column(server_default=text("'infinity'"))


class ProjectPause(Base):
    """A time in which a project was off; whole UTC days of it are `off_from` until before `off_until`."""

    __tablename__ = "project_pauses"

    project_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    ends_at: Mapped[datetime | None]
    off_from: Mapped[date]
    off_until: Mapped[date | None]
    deactivated_at: Mapped[datetime | None]


class HistoryToBill(Base):
    """A month before the installation that somebody asked to be billed."""

    __tablename__ = "history_to_bill"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), primary_key=True, autoincrement=False)
    month: Mapped[date] = mapped_column(primary_key=True)
    requested_by: Mapped[str]
    requested_at: Mapped[datetime]


class MqttSession(Base):
    """Exactly-once state of one counter daemon, written in the transaction of its counts.

    `epoch` fences: each start raises it, and a daemon that finds a higher one stands by. `flush` identifies
    the last commit. The broker has kept this session since `session_started_at`. `approximate`: the broker
    does not keep MQTT's rules. A session with `retired_at` is given up and no longer expected to be read.
    """

    __tablename__ = "mqtt_sessions"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    last_packet_id: Mapped[int | None] = mapped_column(Integer)
    session_started_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    connected: Mapped[bool] = mapped_column(server_default=text("false"))
    broker: Mapped[str | None]
    flush: Mapped[int] = mapped_column(server_default=text("0"))
    shared_group: Mapped[str | None]
    approximate: Mapped[bool] = mapped_column(server_default=text("false"))
    retired_at: Mapped[datetime | None]
    retired_by: Mapped[str | None]
    retired_reason: Mapped[str | None]


class Installation(Base):
    """The client id of this installation's counter, in the only row."""

    __tablename__ = "installation"
    __table_args__ = (Index("installation_single_idx", text("(true)"), unique=True),)

    client_id: Mapped[str] = mapped_column(primary_key=True)


class JobRun(Base):
    """A request for a job and its run. `period` is an hour, day, month or `first..last` as text.

    `attempt` counts claims, take-overs included, and fences off former workers; `failed_attempts`
    those that failed for a passing reason, `lost_workers` those whose worker died: both are limited.
    """

    __tablename__ = "job_runs"
    __table_args__ = (
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
        Index(
            "job_runs_project_id_id_idx", "project_id", "id", postgresql_where=text("project_id IS NOT NULL")
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    job: Mapped[str]
    period: Mapped[str]
    project_id: Mapped[int | None]
    at: Mapped[datetime]
    trigger: Mapped[str]
    requested_by: Mapped[str]
    dry_run: Mapped[bool] = mapped_column(server_default=text("false"))
    arguments: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    state: Mapped[str] = mapped_column(server_default=text("'queued'"))
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=NOW)
    worker: Mapped[str | None]
    heartbeat_at: Mapped[datetime | None]
    progress: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    throttles: Mapped[int] = mapped_column(server_default=text("0"))
    errors: Mapped[list[Any]] = mapped_column(server_default=text("'[]'"))
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    failed_attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    lost_workers: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class Alert(Base):
    """Something that was or is wrong; open while `resolved_at` is NULL, at most once per subject."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "alerts_open_key",
            "kind",
            "subject",
            text("coalesce(project_id, 0)"),
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("alerts_opened_at_idx", "opened_at"),
        Index(
            "alerts_project_id_id_idx", "project_id", "id", postgresql_where=text("project_id IS NOT NULL")
        ),
    )

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    kind: Mapped[str]
    severity: Mapped[str]
    project_id: Mapped[int | None]
    subject: Mapped[str]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    opened_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    acknowledged_by: Mapped[str | None]


class AlertNotice(Base):
    """An alert on its way to a channel: that it opened, or that it is over. Sent when `sent_at` is set."""

    __tablename__ = "alert_notices"
    __table_args__ = (
        CheckConstraint("event IN ('opened', 'resolved')", name="event"),
        Index(
            "alert_notices_waiting_idx",
            "channel",
            "next_attempt_at",
            postgresql_where=text("sent_at IS NULL"),
        ),
    )

    alert_id: Mapped[int] = mapped_column(ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True)
    channel: Mapped[str] = mapped_column(primary_key=True)
    event: Mapped[str] = mapped_column(primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=NOW)
    sent_at: Mapped[datetime | None]
    error: Mapped[str | None]


class AuditLog(Base):
    """Who did what to what, before and after. Append-only. Its `install` row dates Fleetmeter."""

    __tablename__ = "audit_log"
    __table_args__ = (Index("audit_log_action_at_idx", "action", "at"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=NOW)
    actor: Mapped[str]
    action: Mapped[str]
    subject: Mapped[str]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    reason: Mapped[str | None]


class Worker(Base):
    """Who is alive: one row per process, by the database's clock."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=NOW)
    figures: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))


class SignOut(Base):
    """A sign-in to the console that ended; `mark` is the SHA-256 of its claims."""

    __tablename__ = "sign_outs"

    mark: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


PLATFORM_TABLES: dict[str, Table] = {
    table.name: table for table in Base.metadata.sorted_tables if table.info == PLATFORM
}
OWN_TABLES: dict[str, Table] = {
    table.name: table for table in Base.metadata.sorted_tables if table.info != PLATFORM
}
