"""Processes, the age of each source, the queue, and messages that matched no project."""

from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every, one
from metering.catalogue import platform
from metering.catalogue.sources import SOURCE_NAMES

# A counter is its session; its process is in `workers` under a name made of the client id. A process that was
# seen more than a day ago is shown only where it is the last of its role.
WORKERS = text("""
    WITH counters AS (
        SELECT m.client_id AS name, 'counter' AS role, concat_ws(', broker ', w.host, m.broker) AS host,
            w.pid, m.session_started_at AS started_at, m.last_seen_at,
            m.connected AND m.last_seen_at > now() - interval '1 minute' AS alive, m.approximate
        FROM mqtt_sessions m LEFT JOIN workers w ON w.name = 'counter ' || m.client_id
        WHERE m.session_started_at IS NOT NULL AND m.retired_at IS NULL
    ), seen AS (
        SELECT name, role, host, pid, started_at, last_seen_at,
            last_seen_at > now() - interval '30 seconds' AS alive, false AS approximate
        FROM workers WHERE name NOT IN (SELECT 'counter ' || name FROM counters)
        UNION ALL SELECT * FROM counters
    ), ranked AS (
        SELECT *, bool_or(alive) OVER (PARTITION BY role) AS is_replaced,
            row_number() OVER (PARTITION BY role ORDER BY last_seen_at DESC NULLS LAST) AS place FROM seen)
    SELECT * FROM ranked WHERE place = 1 OR alive OR last_seen_at > now() - interval '1 day'
    ORDER BY role, place LIMIT 50""")

# A project that was deactivated is not read any more: it is not behind. Why one is, the last refresh says.
MEASURED_COUNTS = """count(*) FILTER (WHERE {0}_measured_at >= CAST(:before AS timestamptz)) AS {0}_measured,
            max({0}_measured_at) AS {0}_newest,
            min({0}_measured_at) AS {0}_oldest,
            count(*) FILTER (WHERE {0}_measured_at < CAST(:before AS timestamptz)) AS {0}_behind"""
SOURCE = """
    SELECT '{0}' AS source, {0}_measured AS measured, projects, {0}_newest AS newest, {0}_oldest AS oldest,
        {0}_behind AS behind,
        (SELECT min(coalesce('project ' || (found.error->>'project_id') || ': ', '')
                || (found.error->>'error'))
            FROM refresh, jsonb_array_elements(refresh.errors) AS found (error)
            WHERE found.error->>'source' = '{0}') AS why
    FROM counted"""
FRESHNESS = text(f"""
    WITH refresh AS (
        SELECT errors FROM job_runs WHERE job >= 'hourly' AND job <= 'hourly' AND NOT dry_run
            AND finished_at IS NOT NULL ORDER BY job DESC, id DESC LIMIT 1
    ), counted AS (
        SELECT count(*) AS projects, {", ".join(MEASURED_COUNTS.format(source) for source in SOURCE_NAMES)}
        FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id WHERE p.is_active)
    {" UNION ALL ".join(SOURCE.format(source) for source in SOURCE_NAMES)}""")

QUEUE = text("""
    SELECT count(*) FILTER (WHERE state = 'queued') AS queued,
        count(*) FILTER (WHERE state = 'running') AS running,
        count(*) FILTER (WHERE state = 'running' AND heartbeat_at < now() - interval '30 seconds') AS stalled,
        min(created_at) FILTER (WHERE state = 'queued' AND next_attempt_at <= now()) AS oldest
    FROM job_runs WHERE state IN ('queued', 'running')""")

GAPS = text("""
    SELECT id, source, starts_at, ends_at, reason, cardinality(project_ids) AS projects FROM fleetmeter_gaps()
    WHERE covered_at IS NULL AND accepted_at IS NULL ORDER BY starts_at LIMIT 50""")

UNATTRIBUTED = text("""
    SELECT reason, sum(messages)::bigint AS messages, max(updated_at) AS latest,
        (array_agg(to_jsonb(sample_topics) ORDER BY hour DESC))[1] AS samples FROM unattributed_messages
    WHERE hour > CAST(:at AS timestamptz) - interval '24 hours' GROUP BY reason ORDER BY messages DESC""")

DATABASE = text("""
    SELECT current_database() AS name, current_setting('server_version') AS version,
        pg_database_size(current_database()) AS size_bytes,
        (SELECT string_agg(version_num, ', ') FROM fleetmeter_version) AS revision,
        (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()) AS connections""")


DRIFT = text("""
    SELECT DISTINCT ON (source) source, hour, theirs, ours, ours - theirs AS difference,
        (ours - theirs)::float / nullif(theirs, 0) AS share, (parts->>'restarts')::int AS restarts, at
    FROM reconciliations WHERE hour > CAST(:at AS timestamptz) - interval '7 days'
    ORDER BY source, hour DESC""")


def drift(connection: Connection, at: datetime) -> list[Row]:
    """Return, for each broker with its own count, the newest hour of both counts."""
    return every(connection, DRIFT, at=at)


def workers(connection: Connection) -> list[Row]:
    """Return the runners and counters seen in the last day, each with whether it is alive."""
    return every(connection, WORKERS)


def freshness(connection: Connection, before: datetime) -> list[Row]:
    """Return the freshness of each source over active projects.

    Projects measured, the newest and oldest measurement, how many are `before`, and why.
    """
    return every(connection, FRESHNESS, before=before)


def queue(connection: Connection) -> Row:
    """Return the depth of the queue and the age of its oldest request."""
    return one(connection, QUEUE)


def gaps(connection: Connection) -> list[Row]:
    """Return the gaps that are neither covered nor accepted."""
    return every(connection, GAPS)


def unattributed(connection: Connection, at: datetime) -> list[dict[str, Any]]:
    """Return the messages of the last 24 hours without a project, by reason, with sample topics."""
    rows = every(connection, UNATTRIBUTED, at=at)
    return [{**row, "samples": "  ".join(row["samples"] or [])} for row in rows]


@lru_cache
def head() -> str | None:
    """Return the newest revision of the schema that this installation knows."""
    config = Config()
    config.set_main_option("script_location", str(files("migrations")).replace("%", "%%"))
    return ScriptDirectory.from_config(config).get_current_head()


def database(connection: Connection) -> Row:
    """Return the server's version, its size and the schema's revision."""
    return one(connection, DATABASE)
