"""The usage of the whole fleet: running totals, days, the projects that used most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import streamlit as st
from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every, one
from metering.catalogue import platform
from metering.catalogue.meters import messages_sql, source_of
from metering.catalogue.periods import Day
from metering.catalogue.unknowns import is_measured
from metering.days.completeness import SealedDay
from metering.db.scope import Scope

MESSAGES, LIFETIME_MESSAGES = messages_sql(), messages_sql("lifetime_")

TOTALS = text(f"""
    SELECT count(*) AS projects, coalesce(sum({MESSAGES}), 0)::bigint AS messages,
        sum(api_calls) FILTER (WHERE platform_db_measured_at IS NOT NULL)::bigint AS api_calls,
        count(*) FILTER (WHERE p.is_active) AS active,
        sum(total_storage_bytes) FILTER (WHERE p.is_active)::bigint AS storage_bytes,
        count(total_storage_bytes) FILTER (WHERE p.is_active) AS storage_known,
        sum(active_devices) FILTER (WHERE p.is_active)::bigint AS active_devices,
        sum(total_devices) FILTER (WHERE p.is_active)::bigint AS devices,
        coalesce(sum({MESSAGES} + {LIFETIME_MESSAGES}), 0)
            ::bigint AS messages_ever, max(mqtt_measured_at) AS mqtt_measured_at
    FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id""")

MESSAGE_COUNT = text(f"""
    SELECT coalesce(sum({MESSAGES} + {LIFETIME_MESSAGES}), 0)
        ::bigint AS messages, clock_timestamp() AS at FROM project_stats""")

# The summaries hold of each counter what its source measured; it is unknown where that measured nobody.
_MESSAGES_KNOWN = f"{source_of('mqtt_inbound')}_known > 0"
DAY = text(f"""
    SELECT date, sum(projects) AS projects,
        sum({MESSAGES}) FILTER (WHERE {_MESSAGES_KNOWN})::bigint AS messages,
        sum(mqtt_inbound) FILTER (WHERE {_MESSAGES_KNOWN})::bigint AS inbound,
        sum(mqtt_outbound) FILTER (WHERE {_MESSAGES_KNOWN})::bigint AS outbound,
        sum(api_calls) FILTER (WHERE {source_of("api_calls")}_known > 0)::bigint AS api_calls,
        sum(storage_bytes) FILTER (WHERE known_storage_bytes > 0)::bigint AS storage_bytes,
        sum(active_device_count) FILTER (WHERE known_active_device_count > 0)::bigint AS active_devices
    FROM organization_days WHERE date = :date GROUP BY date""")

TOP = text(f"""
    SELECT s.project_id, p.name AS project, p.organization_id, o.name AS organization, o.tier,
        {messages_sql("s.")} AS messages,
        CASE WHEN s.platform_db_measured_at IS NOT NULL THEN s.api_calls END AS api_calls,
        s.total_storage_bytes AS storage_bytes, s.active_devices
    FROM (SELECT * FROM project_stats ORDER BY {MESSAGES} DESC, project_id LIMIT :most) s
    JOIN {platform.PROJECTS} p ON p.id = s.project_id
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
    ORDER BY messages DESC, s.project_id""")


# Like for like: each ratio is of the projects that are known on both sides.
_COMPARED_DAYS = ", ".join(
    f"""sum({now}) FILTER (WHERE {condition})::float
        / nullif(sum({then}) FILTER (WHERE {condition}), 0) - 1 AS {name}"""
    for name, now, then, condition in (
        (
            "messages",
            messages_sql("d."),
            messages_sql("b."),
            f"{is_measured('mqtt', 'd.coverage')} AND {is_measured('mqtt', 'b.coverage')}",
        ),
        (
            "api_calls",
            "d.api_calls",
            "b.api_calls",
            f"{is_measured('platform_db', 'd.coverage')} AND {is_measured('platform_db', 'b.coverage')}",
        ),
    )
)
CHANGED_DAY = text(f"""
    SELECT {_COMPARED_DAYS} FROM daily_stats d JOIN daily_stats b ON b.project_id = d.project_id
    WHERE d.date = :date AND b.date = :base""")
CHANGED_NOW = text(f"""
    SELECT sum(s.total_storage_bytes) FILTER (WHERE b.storage_bytes IS NOT NULL)::float
            / nullif(sum(b.storage_bytes) FILTER (WHERE s.total_storage_bytes IS NOT NULL), 0) - 1
            AS storage_bytes,
        sum(s.active_devices) FILTER (WHERE b.active_device_count IS NOT NULL)::float
            / nullif(sum(b.active_device_count) FILTER (WHERE s.active_devices IS NOT NULL), 0) - 1
            AS active_devices
    FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id AND p.is_active
    JOIN daily_stats b ON b.project_id = s.project_id WHERE b.date = :base""")


@dataclass(frozen=True)
class Changes:
    """Changes against the sealed day `base`, as fractions, by figure; None where one side is unknown."""

    base: date
    by_figure: Row


def changes(connection: Connection, days: Sequence[SealedDay], last: Day, live: bool) -> Changes | None:
    """Return the changes against the same weekday of the newest week that is sealed; weekends are quiet.

    `last` is the day that is compared, or with `live` the running day, whose gauges are compared.
    """
    sealed = {day.date for day in days if day.projects and day.is_complete}
    weeks = (last.date - timedelta(weeks=number) for number in range(1, 5))
    base = next((day for day in weeks if day in sealed), None)
    if base is None:
        return None
    query, parameters = (CHANGED_NOW, {}) if live else (CHANGED_DAY, {"date": last.date})
    return Changes(base, one(connection, query, base=base, **parameters))


def totals(connection: Connection) -> Row:
    """Sum running totals; gauges are of active projects, None without any sample."""
    return one(connection, TOTALS)


def message_count(connection: Connection) -> tuple[int, datetime]:
    """Return the number of messages ever counted, which only grows, and its instant."""
    row = one(connection, MESSAGE_COUNT)
    return row["messages"], row["at"]


def trend(connection: Connection, days: Sequence[SealedDay], scope: Scope = None) -> list[Row]:
    """Return a row for each day as `scope` sees it; None, not zero, where nothing is sealed."""
    server = str(connection.engine.url)
    return [_day(day.date, day.projects, server, scope, connection) for day in days]


# Sealed rows do not change: a day is summed again only when more or fewer projects have it.
@st.cache_resource(max_entries=10_000, show_spinner=False)
def _day(date: date, projects: int, server: str, scope: Scope, _connection: Connection) -> Row:
    blank = dict.fromkeys(("messages", "inbound", "outbound", "api_calls", "storage_bytes", "active_devices"))
    return one(_connection, DAY, date=date) if projects else {"date": date, "projects": 0, **blank}


def top(connection: Connection, most: int = 10) -> list[Row]:
    """Return the projects with the most messages in the running month."""
    return every(connection, TOP, most=most)
