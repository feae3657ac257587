"""What the whole fleet did: running totals, days, the projects that used most."""

from collections.abc import Sequence
from datetime import date, datetime

import streamlit as st
from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every, one
from console.data.unknowns import looked
from metering.catalogue.meters import messages_sql
from metering.days.completeness import SealedDay
from metering.db.scope import Scope

MESSAGES, LIFETIME_MESSAGES = messages_sql(), messages_sql("lifetime_")

TOTALS = text(f"""
    SELECT count(*) AS projects, coalesce(sum({MESSAGES}), 0)::bigint AS messages,
        sum(api_calls) FILTER (WHERE platform_db_measured_at IS NOT NULL)::bigint AS api_calls,
        sum(total_storage_bytes)::bigint AS storage_bytes, count(total_storage_bytes) AS storage_known,
        sum(active_devices)::bigint AS active_devices, sum(total_devices)::bigint AS devices,
        coalesce(sum({MESSAGES} + {LIFETIME_MESSAGES}), 0)
            ::bigint AS messages_ever, max(mqtt_measured_at) AS mqtt_measured_at
    FROM project_stats""")

COUNTED = text(f"""
    SELECT coalesce(sum({MESSAGES} + {LIFETIME_MESSAGES}), 0)
        ::bigint AS messages, clock_timestamp() AS at FROM project_stats""")

DAY = text(f"""
    SELECT date, count(*) AS projects,
        sum({MESSAGES}) FILTER (WHERE {looked("mqtt")})::bigint AS messages,
        sum(mqtt_inbound) FILTER (WHERE {looked("mqtt")})::bigint AS inbound,
        sum(mqtt_outbound) FILTER (WHERE {looked("mqtt")})::bigint AS outbound,
        sum(api_calls) FILTER (WHERE {looked("platform_db")})::bigint AS api_calls,
        sum(storage_bytes)::bigint AS storage_bytes, sum(active_device_count)::bigint AS active_devices
    FROM daily_stats WHERE date = :date GROUP BY date""")

TOP = text(f"""
    SELECT s.project_id, p.name AS project, o.name AS organization, o.tier,
        {messages_sql("s.")} AS messages,
        CASE WHEN s.platform_db_measured_at IS NOT NULL THEN s.api_calls END AS api_calls,
        s.total_storage_bytes AS storage_bytes, s.active_devices
    FROM (SELECT * FROM project_stats ORDER BY {MESSAGES} DESC, project_id LIMIT :most) s
    JOIN projects p ON p.id = s.project_id JOIN organizations o ON o.id = p.organization_id
    ORDER BY messages DESC, s.project_id""")


def totals(connection: Connection) -> Row:
    """Sums over every project's running totals; NULL where nothing was ever sampled."""
    return one(connection, TOTALS)


def counted(connection: Connection) -> tuple[int, datetime]:
    """Messages counted since the beginning, which only grows, and when this was so."""
    row = one(connection, COUNTED)
    return row["messages"], row["at"]


def trend(connection: Connection, days: Sequence[SealedDay], scope: Scope = None) -> list[Row]:
    """Return a row for each day as `scope` sees it; None, not zero, where nothing is sealed."""
    server = str(connection.engine.url)
    return [_day(day.date, day.projects, server, scope, connection) for day in days]


# What is sealed does not change: a day is summed anew only when more or fewer projects have it.
@st.cache_resource(max_entries=10_000, show_spinner=False)
def _day(date: date, projects: int, server: str, scope: Scope, _connection: Connection) -> Row:
    blank = dict.fromkeys(("messages", "inbound", "outbound", "api_calls", "storage_bytes", "active_devices"))
    return one(_connection, DAY, date=date) if projects else {"date": date, "projects": 0, **blank}


def top(connection: Connection, most: int = 10) -> list[Row]:
    """The projects with the most messages in the running month."""
    return every(connection, TOP, most=most)
