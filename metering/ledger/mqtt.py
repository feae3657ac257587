"""Add MQTT messages to the ledger as they arrive."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text

from metering.catalogue.meters import columns
from metering.catalogue.periods import Hour, Month
from metering.catalogue.projects import FIRST_OPEN, METERED_UNTIL

MQTT_COUNTERS = ("mqtt_inbound", "mqtt_outbound", "mqtt_inbound_bytes", "mqtt_outbound_bytes")
MAX_SAMPLES = 5  # sample topics for each hour and reason
SAMPLE_LENGTH = 200


class MqttUsage(NamedTuple):
    """Messages and payload bytes of one topic prefix, with one of its topics as a sample."""

    inbound: int
    outbound: int
    inbound_bytes: int
    outbound_bytes: int
    topic: str


ADD_UNATTRIBUTED = f"""
    INSERT INTO unattributed_messages AS u (hour, reason, messages, sample_topics, updated_at)
    {{rows}}
    ON CONFLICT (hour, reason) DO UPDATE SET
        messages = u.messages + excluded.messages, updated_at = excluded.updated_at,
        sample_topics = (
            SELECT (array_agg(DISTINCT topic))[1 : {MAX_SAMPLES}]
            FROM unnest(u.sample_topics || excluded.sample_topics) AS topic)"""

ADD_MQTT = text(f"""
    WITH given AS (
        SELECT * FROM unnest(
            CAST(:organizations AS bigint[]), CAST(:projects AS bigint[]),
            {columns("CAST(:{0} AS bigint[])", MQTT_COUNTERS)}, CAST(:topics AS text[])
        ) AS g (organization_id, project_id, {columns("{0}", MQTT_COUNTERS)}, topic)
    ), judged AS (
        SELECT g.*, {FIRST_OPEN} AS first_open, CASE
            WHEN p.id IS NULL THEN 'unknown_project'
            WHEN p.organization_id <> g.organization_id THEN 'organization_mismatch'
            WHEN {METERED_UNTIL} <= :at THEN 'project_inactive' END AS reason
        FROM given g LEFT JOIN projects p ON p.id = g.project_id
    ), stats AS (
        INSERT INTO project_stats AS s
            (project_id, {columns("{0}", MQTT_COUNTERS)}, open_from, updated_at, mqtt_measured_at)
        SELECT project_id, {columns("{0}", MQTT_COUNTERS)}, first_open, :at, :at
        FROM judged WHERE reason IS NULL ORDER BY project_id
        ON CONFLICT (project_id) DO UPDATE SET
            {columns("{0} = s.{0} + excluded.{0}", MQTT_COUNTERS)},
            updated_at = :at, mqtt_measured_at = :at
        RETURNING project_id, open_from
    ), hours AS (
        INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", MQTT_COUNTERS)})
        SELECT project_id, greatest(:hour, open_from), {columns("{0}", MQTT_COUNTERS)}
        FROM judged JOIN stats USING (project_id) WHERE reason IS NULL
        ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = u.{0} + excluded.{0}", MQTT_COUNTERS)}
    )
    {
    ADD_UNATTRIBUTED.format(
        rows=f'''SELECT :hour, reason, sum(mqtt_inbound + mqtt_outbound),
            (array_agg(left(topic, {SAMPLE_LENGTH})))[1 : {MAX_SAMPLES}], :at
        FROM judged WHERE reason IS NOT NULL GROUP BY reason ORDER BY reason'''
    )
}""")


def add_mqtt(connection: Connection, usage: Mapping[tuple[int, int], MqttUsage], at: datetime) -> None:
    """Add messages, keyed by (organization id, project id) as their topics say, at `at`.

    What matches no project is counted in unattributed_messages with its reason, never guessed.
    """
    if not usage:
        return
    *counts, topics = zip(*usage.values(), strict=True)
    organizations, ids = zip(*usage, strict=True)
    arrays = dict(
        zip((*MQTT_COUNTERS, "organizations", "projects"), (*counts, organizations, ids), strict=True)
    )
    parameters = {name: _int_array(values) for name, values in arrays.items()}
    connection.execute(
        ADD_MQTT,
        parameters
        | {
            "topics": _text_array(topics),
            "at": at,
            "hour": Hour.of(at).start,
            "month_start": Month.of(at).start,
        },
    )


# Arrays as PostgreSQL writes them: the driver's own way, an expression for each element, takes the
# client and the parser longer than the statement runs.
def _int_array(values: Iterable[int]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def _text_array(values: Iterable[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"


def add_unattributed(
    connection: Connection, reasons: Mapping[str, tuple[int, Sequence[str]]], at: datetime
) -> None:
    """Add messages that name no project at all: reason -> (messages, sample topics)."""
    statement = ADD_UNATTRIBUTED.format(rows="VALUES (:hour, :reason, :messages, :topics, :at)")
    for reason, (messages, topics) in sorted(reasons.items()):
        samples = [topic[:SAMPLE_LENGTH] for topic in topics[:MAX_SAMPLES]]
        connection.execute(
            text(statement),
            {
                "hour": Hour.of(at).start,
                "reason": reason,
                "messages": messages,
                "topics": samples,
                "at": at,
            },
        )
