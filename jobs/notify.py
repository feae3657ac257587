"""Alerts to people: each incident once to each channel as it opens, escalates and resolves, until taken.

What waits for a channel is in `alert_notices`. A batch is leased by moving its next attempt, sent
without a transaction open, and marked; a runner killed in between leads to a second message, never
to none. Nothing here touches a job, so that no channel can hold one up.
"""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from jobs import alert_channels
from jobs.alert_channels import Channel
from metering import backoff
from metering.alerts import alerts, titles
from metering.config.settings import Settings
from metering.db import clock
from metering.db.engine import describe_error
from metering.db.transactions import transaction
from metering.errors import DeliveryFailed, FleetmeterError
from metering.pricing import plans

LOOK = 30  # seconds between two refreshes of the alerts
BATCH = 100  # notices in a message; it names the first of them and counts the rest
NAMED = 20
EVENTS = ("opened", "escalated", "resolved")

LOG = structlog.get_logger("runner")

# An escalation is news only after the opening was told; a later one takes the place of one that still waits.
ENQUEUE = text("""
    WITH told AS (
        SELECT a.id, a.resolved_at, jsonb_array_length(a.history) - 1 AS escalations FROM alerts a
        JOIN alert_notices n ON n.alert_id = a.id AND n.channel = :channel AND n.event = 'opened'
        WHERE n.sent_at IS NOT NULL)
    INSERT INTO alert_notices (alert_id, channel, event, number)
    SELECT id, :channel, 'opened', 0 FROM alerts WHERE resolved_at IS NULL
    UNION ALL
    SELECT id, :channel, 'escalated', escalations FROM told WHERE resolved_at IS NULL AND escalations > 0
    UNION ALL
    SELECT id, :channel, 'resolved', 0 FROM told
    WHERE resolved_at IS NOT NULL AND resolved_at > now() - interval '7 days'
    ON CONFLICT DO NOTHING""")

# What resolved before anybody heard of it, or that it became worse, is no news.
LEASE = text("""
    WITH stale AS (
        DELETE FROM alert_notices n USING alerts a WHERE a.id = n.alert_id AND n.channel = :channel
        AND n.sent_at IS NULL AND (n.event <> 'resolved' AND a.resolved_at IS NOT NULL
            OR n.event = 'escalated' AND n.number < jsonb_array_length(a.history) - 1)),
    next AS (
        SELECT n.alert_id, n.channel, n.event, n.number
        FROM alert_notices n JOIN alerts a ON a.id = n.alert_id
        WHERE n.channel = :channel AND n.sent_at IS NULL AND n.next_attempt_at <= clock_timestamp()
            AND (n.event = 'resolved' OR a.resolved_at IS NULL)
            AND (n.event <> 'escalated' OR n.number = jsonb_array_length(a.history) - 1)
        ORDER BY n.alert_id, n.event FOR UPDATE OF n SKIP LOCKED LIMIT :batch)
    UPDATE alert_notices n SET attempt = n.attempt + 1, next_attempt_at = clock_timestamp() + interval '60 s'
    FROM next JOIN alerts a ON a.id = next.alert_id
    WHERE (n.alert_id, n.channel, n.event, n.number)
        = (next.alert_id, next.channel, next.event, next.number)
    RETURNING n.alert_id, n.event, n.number, n.attempt, a.kind, a.severity, a.project_id, a.organization_id,
        a.subject, a.detail, jsonb_array_length(a.history) - 1 AS escalations""")

# Whoever was told of the opening was told of the escalations until then.
INSERT_NOTICES = text("""
    INSERT INTO alert_notices (alert_id, channel, event, number, sent_at)
    SELECT told.id, :channel, told.event, told.number, clock_timestamp() FROM (
        SELECT * FROM unnest(CAST(:ids AS bigint[]), CAST(:events AS text[]), CAST(:numbers AS int[]))
        UNION SELECT id, 'escalated', escalations
        FROM unnest(CAST(:ids AS bigint[]), CAST(:escalations AS int[])) AS now (id, escalations)
        WHERE escalations > 0) AS told (id, event, number)
    JOIN alerts a ON a.id = told.id
    ON CONFLICT (alert_id, channel, event, number) DO UPDATE SET sent_at = excluded.sent_at, error = NULL""")

FAILED = text("""
    UPDATE alert_notices SET error = :error, next_attempt_at = clock_timestamp() + :wait * interval '1 s'
    WHERE channel = :channel AND sent_at IS NULL AND alert_id = ANY(:ids)""")


def watch(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Refresh alerts and send them to the channels, until `stop`."""
    configured = alert_channels.configured(settings)
    while not stop.is_set():
        try:
            look(settings, engine, _agreed(settings, engine))
            deliver(engine, configured)
        except (FleetmeterError, DBAPIError) as error:
            LOG.warning("alerts.delayed", reason=describe_error(error))
        stop.wait(LOOK)


def _agreed(settings: Settings, engine: Engine) -> datetime:
    """Return the present instant; by the database's clock where this host's is wrong."""
    with transaction(engine) as connection:
        return clock.agreed_instant(connection, datetime.now(UTC), settings.clock_tolerance)


def look(settings: Settings, engine: Engine, at: datetime) -> alerts.Changes:
    """Open and resolve alerts by the state at `at`."""
    available = plans.load(settings.plans)
    with transaction(engine) as connection:
        return alerts.refresh(connection, at, available, settings.drift_percent, settings.clock_tolerance)


def deliver(engine: Engine, to: Sequence[Channel]) -> dict[str, str]:
    """Send each channel its waiting notices; return the failures by channel."""
    failures = {}
    for channel in to:
        try:
            while _deliver_batch(engine, channel) == BATCH:
                pass
        except DeliveryFailed as error:
            failures[channel.name] = str(error)
            LOG.warning("delivery.failed", channel=channel.name, reason=str(error))
    return failures


def _deliver_batch(engine: Engine, channel: Channel) -> int:
    with transaction(engine) as connection:
        connection.execute(ENQUEUE, {"channel": channel.name})
        notices = _lease(connection, channel)
    if not notices:
        return 0
    try:
        channel.send(*message(notices))
    except DeliveryFailed as error:
        wait = backoff.seconds(max(notice["attempt"] for notice in notices))
        _mark(engine, FAILED, channel, notices, error=str(error)[:500], wait=wait)
        raise
    columns = {"events": "event", "numbers": "number", "escalations": "escalations"}
    notice_values = {name: [notice[column] for notice in notices] for name, column in columns.items()}
    _mark(engine, INSERT_NOTICES, channel, notices, **notice_values)
    return len(notices)


def _lease(connection: Connection, channel: Channel) -> list[dict[str, Any]]:
    rows = connection.execute(LEASE, {"channel": channel.name, "batch": BATCH}).mappings()
    return sorted(map(dict, rows), key=lambda n: (n["severity"] != "critical", n["alert_id"], n["event"]))


def _mark(
    engine: Engine, statement: Any, channel: Channel, notices: Sequence[Any], **parameters: Any
) -> None:
    ids = [notice["alert_id"] for notice in notices]
    with transaction(engine) as connection:
        connection.execute(statement, {"channel": channel.name, "ids": ids} | parameters)


def message(notices: Sequence[Any]) -> tuple[str, str]:
    """Return title and text: a sentence for each incident, without names that people chose."""
    counts = {event: sum(notice["event"] == event for notice in notices) for event in EVENTS}
    title = "Fleetmeter: " + ", ".join(f"{count} {event}" for event, count in counts.items() if count)
    lines = [_line(notice) for notice in notices[:NAMED]]
    if len(notices) > NAMED:
        lines.append(f"and {len(notices) - NAMED} more; see: fleetmeter alerts")
    return title, "\n".join(lines)


def _line(notice: Any) -> str:
    states = {"resolved": "resolved", "escalated": f"escalated, {notice['severity']}"}
    return f"[{states.get(notice['event'], notice['severity'])}] {titles.title(notice, names=False)}"
