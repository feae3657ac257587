"""The ledger, its running totals, and what is known of its sources."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from metering.catalogue.meters import GAUGE_NAMES, GAUGES, counters_of
from metering.catalogue.sources import SOURCES
from metering.db.tables.base import INSTANT, METADATA, NOW, counters, levels, own_meters, project_id

# The ledger: project by UTC hour. `measured` maps a source to the instant it was read up to.
usage_hourly = Table(
    "usage_hourly",
    METADATA,
    project_id(primary_key=True),
    Column("hour", INSTANT, primary_key=True),
    *counters(),
    *levels(GAUGE_NAMES),
    Column("measured", JSONB, nullable=False, server_default=text("'{}'")),
    own_meters(),
    Index("usage_hourly_hour_idx", "hour"),
    postgresql_partition_by="RANGE (hour)",
)

# Running totals of the open month; this row is the project's mutex (rule 12 of docs/architecture.md).
project_stats = Table(
    "project_stats",
    METADATA,
    project_id(primary_key=True),
    *counters(),
    *levels(tuple(gauge.live for gauge in GAUGES)),
    *counters("lifetime_"),
    own_meters(),
    own_meters("lifetime_meters"),
    Column("open_from", INSTANT, nullable=False),
    Column("updated_at", INSTANT, nullable=False),
    *(Column(source.measured_at, INSTANT) for source in SOURCES),
    Column("judged_at", INSTANT),
    Index("project_stats_open_from_idx", "open_from"),
)

# A source was blind during `[starts_at, ends_at)`; `project_ids` NULL means every project.
#
# `client_id` names the counter it is of. `kind`: silent (covered once read again), session_lost,
# taken_over (another client used the id), retired, other.
gaps = Table(
    "gaps",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("starts_at", INSTANT, nullable=False),
    Column("ends_at", INSTANT),
    Column("kind", Text, server_default=text("'other'"), nullable=False),
    Column("reason", Text, nullable=False),
    Column("project_ids", ARRAY(BigInteger)),
    Column("created_at", INSTANT, server_default=NOW, nullable=False),
    Column("covered_at", INSTANT),
    Column("accepted_by", Text),
    Column("accepted_at", INSTANT),
    Column("accepted_reason", Text),
    Column("client_id", Text),
    Index("gaps_source_starts_at_idx", "source", "starts_at"),
)

# The busiest devices of a project's day: lower bounds, and how many messages each may have more.
device_usage_daily = Table(
    "device_usage_daily",
    METADATA,
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("date", Date, primary_key=True),
    Column("device", Text, primary_key=True),
    *(Column(name, BigInteger, nullable=False, server_default=text("0")) for name in counters_of("mqtt")),
    Column("error", BigInteger, nullable=False, server_default=text("0")),
    Index("device_usage_daily_date_idx", "date"),
)

# MQTT messages of an hour that match no project, by reason; a few sample topics, cut short.
unattributed_messages = Table(
    "unattributed_messages",
    METADATA,
    Column("hour", INSTANT, primary_key=True),
    Column("reason", Text, primary_key=True),
    Column("messages", BigInteger, nullable=False),
    Column("sample_topics", ARRAY(Text), nullable=False),
    Column("updated_at", INSTANT, server_default=NOW, nullable=False),
)

# Bytes of a project's log entries created before `until`, so that only newer ones are summed.
log_levels = Table(
    "log_levels",
    METADATA,
    Column("project_id", BigInteger, ForeignKey("projects.id"), primary_key=True, autoincrement=False),
    Column("bytes", BigInteger),
    Column("until", INSTANT, nullable=False),
)

# Exactly-once state of one counter daemon, written in the transaction of its counts.
#
# `epoch` fences: each start raises it, and a daemon that finds a higher one stands by. `flush` identifies
# the last commit. The broker has kept this session since `session_started_at`. `approximate`: the broker
# does not keep MQTT's rules. A session with `retired_at` is given up and no longer expected to be read.
mqtt_sessions = Table(
    "mqtt_sessions",
    METADATA,
    Column("client_id", Text, primary_key=True),
    Column("epoch", BigInteger, server_default=text("0"), nullable=False),
    Column("last_packet_id", Integer),
    Column("session_started_at", INSTANT),
    Column("last_seen_at", INSTANT),
    Column("connected", Boolean, server_default=text("false"), nullable=False),
    Column("broker", Text),
    Column("flush", BigInteger, server_default=text("0"), nullable=False),
    Column("shared_group", Text),
    Column("approximate", Boolean, server_default=text("false"), nullable=False),
    Column("retired_at", INSTANT),
    Column("retired_by", Text),
    Column("retired_reason", Text),
)

# The client id of this installation's counter, in the only row.
installation = Table(
    "installation",
    METADATA,
    Column("client_id", Text, primary_key=True),
    Index("installation_single_idx", text("(true)"), unique=True),
)

# Every meter of the platform's own that was ever declared; `aggregation` is sum or max.
own_meter_names = Table(
    "own_meters",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("unit", Text, nullable=False),
    Column("aggregation", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("declared_at", INSTANT, nullable=False),
    CheckConstraint("aggregation IN ('sum', 'max')", name="aggregation"),
)

# Events accepted over HTTP, so that none counts twice; forgotten after 35 days.
#
# `source` begins with the organization of the token that sent the event, where the token has one: a customer
# cannot take the ids of somebody else's events.
usage_events = Table(
    "usage_events",
    METADATA,
    Column("source", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("project_id", BigInteger, nullable=False),
    Column("received_at", INSTANT, nullable=False),
    Index("usage_events_received_at_idx", "received_at", postgresql_using="brin"),
)
