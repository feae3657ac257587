"""Record which processes are alive, by the database's clock: one row of `workers` each."""

import os
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

ALIVE = text("""
    INSERT INTO workers (name, role, host, pid, figures) VALUES (:name, :role, :host, :pid, :figures)
    ON CONFLICT (name) DO UPDATE SET last_seen_at = clock_timestamp(), figures = excluded.figures,
        started_at = CASE WHEN workers.host = excluded.host AND workers.pid = excluded.pid
            THEN workers.started_at ELSE clock_timestamp() END,
        host = excluded.host, pid = excluded.pid""").bindparams(bindparam("figures", type_=JSONB))


def heartbeat(connection: Connection, name: str, role: str, figures: Mapping[str, Any]) -> None:
    """Record that this process is alive under `name`, which may outlive it.

    `role`: counter or runner. `figures`: what it reports of itself, among them
    `clock_difference_seconds`, by which its host's clock is ahead of the database's.
    """
    process = {"host": socket.gethostname(), "pid": os.getpid()}
    parameters = {"name": name, "role": role, "figures": dict(figures), **process}
    connection.execute(ALIVE, parameters)


def leave(connection: Connection, name: str) -> None:
    """Record that the process called `name` has ended."""
    connection.execute(text("DELETE FROM workers WHERE name = :name"), {"name": name})


WRONG_CLOCK = text("""
    SELECT host, max(seconds) AS seconds FROM workers CROSS JOIN LATERAL (
        SELECT CAST(figures->>'clock_difference_seconds' AS double precision) AS seconds) reported
    WHERE role = :role AND last_seen_at > clock_timestamp() - interval '2 minutes'
        AND abs(seconds) > :tolerance GROUP BY host ORDER BY host""")


def alive(connection: Connection, role: str) -> int:
    """Return the number of processes of `role` that reported within the last minute."""
    query = text("""
        SELECT count(*) FROM workers
        WHERE role = :role AND last_seen_at > clock_timestamp() - interval '1 minute'""")
    return int(connection.scalar(query, {"role": role}) or 0)


class WrongClock(NamedTuple):
    """A host whose clock is `seconds` ahead of the database's; negative if behind."""

    host: str
    seconds: float


def with_wrong_clock(connection: Connection, tolerance: float, role: str) -> list[WrongClock]:
    """Return hosts of live processes of `role` whose clock is off by more than `tolerance` seconds."""
    rows = connection.execute(WRONG_CLOCK, {"role": role, "tolerance": tolerance})
    return [WrongClock(*row) for row in rows]
