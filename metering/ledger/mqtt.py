"""Add MQTT messages to the ledger as they arrive."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError

from metering.catalogue import platform
from metering.catalogue.history import EVER_OWNED
from metering.catalogue.meters import columns, counters_of, messages_sql
from metering.catalogue.periods import Hour, Month
from metering.catalogue.projects import FIRST_OPEN, METERED_UNTIL

MQTT_COUNTERS = counters_of("mqtt")  # in the order of MqttUsage
MAX_SAMPLES = 5  # sample topics for each hour and reason
SAMPLE_LENGTH = 200
# Topics that name an organization which owned the project before. Their messages count for the project; the
# row in unattributed_messages has 0 messages, and samples of the topics for the correction of the devices.
FORMER_ORGANIZATION = "former_organization"


class MqttUsage(NamedTuple):
    """Messages and payload bytes of one project, with one of its topics as a sample."""

    inbound: int
    outbound: int
    inbound_bytes: int
    outbound_bytes: int
    topic: str


class MalformedTopics(NamedTuple):
    """Messages whose topics name no project at all, with a few of these topics as samples."""

    messages: int
    samples: Sequence[str]


ADD_MQTT = text(f"""
    WITH usage AS (
        SELECT * FROM unnest(
            CAST(:organizations AS bigint[]), CAST(:projects AS bigint[]),
            {columns("CAST(:{0} AS bigint[])", MQTT_COUNTERS)}, CAST(:topics AS text[])
        ) AS g (organization_id, project_id, {columns("{0}", MQTT_COUNTERS)}, topic)
    ), judged AS (
        SELECT g.*, {FIRST_OPEN} AS first_open, p.organization_id <> g.organization_id AS moved, CASE
            WHEN g.project_id IS NULL THEN 'malformed_topic'
            WHEN p.id IS NULL THEN 'unknown_project'
            WHEN NOT {EVER_OWNED.format(organization="g.organization_id")} THEN 'organization_mismatch'
            WHEN {METERED_UNTIL} <= :at THEN 'project_inactive' END AS reason
        FROM usage g LEFT JOIN {platform.PROJECTS} p ON p.id = g.project_id
    ), accepted AS (
        SELECT project_id, {columns("sum({0})::bigint AS {0}", MQTT_COUNTERS)}, min(first_open) AS first_open
        FROM judged WHERE reason IS NULL GROUP BY project_id
    ), stats AS (
        INSERT INTO project_stats AS s
            (project_id, {columns("{0}", MQTT_COUNTERS)}, open_from, updated_at, mqtt_measured_at)
        SELECT project_id, {columns("{0}", MQTT_COUNTERS)}, first_open, :at, :at
        FROM accepted ORDER BY project_id
        ON CONFLICT (project_id) DO UPDATE SET
            {columns("{0} = s.{0} + excluded.{0}", MQTT_COUNTERS)},
            updated_at = :at, mqtt_measured_at = :at
        RETURNING project_id, open_from
    ), hours AS (
        INSERT INTO usage_hourly AS u (project_id, hour, {columns("{0}", MQTT_COUNTERS)})
        SELECT project_id, greatest(:hour, open_from), {columns("{0}", MQTT_COUNTERS)}
        FROM accepted JOIN stats USING (project_id)
        ON CONFLICT (project_id, hour) DO UPDATE SET {columns("{0} = u.{0} + excluded.{0}", MQTT_COUNTERS)}
    )
    INSERT INTO unattributed_messages AS u (hour, reason, messages, sample_topics, updated_at)
    SELECT :hour, note, coalesce(sum({messages_sql()}) FILTER (WHERE reason IS NOT NULL), 0),
        (array_agg(left(topic, {SAMPLE_LENGTH})))[1 : {MAX_SAMPLES}], :at
    FROM (SELECT *, coalesce(reason, CASE WHEN moved THEN '{FORMER_ORGANIZATION}' END) AS note
        FROM judged) AS noted
    WHERE note IS NOT NULL GROUP BY note ORDER BY note
    ON CONFLICT (hour, reason) DO UPDATE SET
        messages = u.messages + excluded.messages, updated_at = excluded.updated_at,
        sample_topics = (
            SELECT (array_agg(DISTINCT topic))[1 : {MAX_SAMPLES}]
            FROM unnest(u.sample_topics || excluded.sample_topics) AS topic)""")


def add_mqtt(
    connection: Connection,
    usage: Mapping[tuple[int, int], MqttUsage],
    at: datetime,
    malformed: MalformedTopics | None = None,
) -> None:
    """Add messages at `at`, keyed by the (organization id, project id) that their topics name.

    An organization that owned the project before is accepted too. Messages that match no project are
    counted in unattributed_messages with the reason, never guessed.
    """
    rows: list[tuple[int | None, int | None, MqttUsage]] = [(*key, counts) for key, counts in usage.items()]
    rows.extend((None, None, counts) for counts in _without_project(malformed))
    if not rows:
        return
    organizations, projects, counts = zip(*rows, strict=True)
    *numbers, topics = zip(*counts, strict=True)
    arrays = dict(zip(MQTT_COUNTERS, numbers, strict=True))
    arrays |= {"organizations": organizations, "projects": projects}
    connection.execute(
        ADD_MQTT,
        {name: _int_array(values) for name, values in arrays.items()}
        | {
            "topics": _text_array(topics),
            "at": at,
            "hour": Hour.of(at).start,
            "month_start": Month.of(at).start,
        },
    )


REFUSED = "refused"
ADD_REFUSED = text(f"""
    INSERT INTO unattributed_messages AS u (hour, reason, messages, sample_topics, updated_at)
    VALUES (:hour, '{REFUSED}', :messages, ARRAY[:topic], :at)
    ON CONFLICT (hour, reason) DO UPDATE SET
        messages = u.messages + excluded.messages, updated_at = excluded.updated_at,
        sample_topics = (
            SELECT (array_agg(DISTINCT topic))[1 : {MAX_SAMPLES}]
            FROM unnest(u.sample_topics || excluded.sample_topics) AS topic)""")


def add_mqtt_isolated(
    connection: Connection,
    usage: Mapping[tuple[int, int], MqttUsage],
    at: datetime,
    malformed: MalformedTopics | None = None,
) -> list[int]:
    """Add messages like `add_mqtt`, without the projects that PostgreSQL refuses; returns their ids.

    A total that no longer fits in its column is the failure of one project (rule 8): its messages are counted
    in unattributed_messages as refused, and the others go on.
    """
    try:
        with connection.begin_nested():
            add_mqtt(connection, usage, at, malformed)
    except DataError:
        if len(usage) > 1:
            items, half = list(usage.items()), len(usage) // 2
            parts = (dict(items[:half]), malformed), (dict(items[half:]), None)
            return [one for part, topics in parts for one in add_mqtt_isolated(connection, part, at, topics)]
        if malformed is not None:
            return add_mqtt_isolated(connection, usage, at) + add_mqtt_isolated(connection, {}, at, malformed)
        for (_, project), counts in usage.items():
            _add_refused(connection, counts, at)
            return [project]
        raise
    return []


def _add_refused(connection: Connection, counts: MqttUsage, at: datetime) -> None:
    topic = counts.topic.encode("ascii", "backslashreplace").decode()[:SAMPLE_LENGTH]
    messages = counts.inbound + counts.outbound
    parameters = {"hour": Hour.of(at).start, "messages": messages, "topic": topic, "at": at}
    connection.execute(ADD_REFUSED, parameters)


def _without_project(malformed: MalformedTopics | None) -> list[MqttUsage]:
    """Return a row for each sample topic; the first holds all messages."""
    if malformed is None:
        return []
    samples = list(malformed.samples[:MAX_SAMPLES]) or [""]
    messages = [malformed.messages, *[0] * (len(samples) - 1)]
    return [MqttUsage(count, 0, 0, 0, topic) for count, topic in zip(messages, samples, strict=True)]


# Arrays in PostgreSQL's own notation. The driver's way, one expression for each element, takes client and
# parser longer than the statement runs: 400 instead of 240 ms for a flush of 40,000 projects.
def _int_array(values: Iterable[int | None]) -> str:
    return f"{{{','.join('NULL' if value is None else str(value) for value in values)}}}"


def _text_array(values: Iterable[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    return "{" + ",".join(f'"{value}"' for value in quoted) + "}"
