"""What an organization's own people see: their rows of every table, whatever is asked.

The narrowing is on the connection, not in the queries: each statement sent through it is given a WITH
clause in which the tables' names stand for the rows of those organizations. A table that nobody thought
about has no rows. So a query that forgets the organization cannot be written.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, Table, event, text

from metering.db.tables import Base
from metering.errors import Refused

Scope = tuple[int, ...] | None  # ids of organizations, None: everything
OPTION = "organizations"
_SELECT = re.compile(r"\s*(SELECT\b|WITH\b(?!\s+RECURSIVE\b))", re.IGNORECASE)
_HARMLESS = re.compile(r"\s*SET\s+LOCAL\b", re.IGNORECASE)

# What is neither an organization's nor a project's, as far as an organization's people may see it:
# since when is counted, which plans rated their bills.
_SHARED = {
    "audit_log": "SELECT at, action FROM audit_log WHERE action = 'install'",
    "mqtt_sessions": """SELECT '' AS client_id, session_started_at, last_seen_at, connected, '' AS broker
        FROM mqtt_sessions""",
    "plan_versions": "SELECT * FROM plan_versions WHERE hash IN"
    " (SELECT plan_version FROM monthly_stats WHERE organization_id IN ({ids}))",
    "gaps": """SELECT g.id, g.source, g.starts_at, g.ends_at, g.reason, g.created_at, g.covered_at,
        g.accepted_at, CASE WHEN g.accepted_by IS NOT NULL THEN 'the platform' END AS accepted_by,
        CASE WHEN g.accepted_by IS NOT NULL THEN 'for a reason that it keeps' END AS accepted_reason,
        CASE WHEN g.project_ids IS NOT NULL THEN ARRAY(
            SELECT p.id FROM projects p WHERE p.organization_id IN ({ids}) AND p.id = ANY(g.project_ids))
        END AS project_ids FROM gaps g WHERE g.project_ids IS NULL OR EXISTS (
            SELECT FROM projects p WHERE p.organization_id IN ({ids}) AND p.id = ANY(g.project_ids))""",
    "job_runs": "SELECT * FROM job_runs WHERE false",  # they say how other projects fared
}


def attach(engine: Engine) -> None:
    """Narrow whatever runs on connections of `engine` that carry OPTION."""
    event.listen(engine, "before_cursor_execute", _narrow, retval=True)


def narrowed(engine: Engine, scope: Scope) -> Engine:
    """`engine` as the people of those organizations see it; itself when `scope` is None."""
    return engine if scope is None else engine.execution_options(**{OPTION: scope})


def known(connection: Connection, named: Sequence[str]) -> tuple[int, ...]:
    """The ids of organizations given by id or by name; a name that several have is nobody's."""
    ids = [int(word) for word in named if word.isascii() and word.isdigit()]
    names = [word for word in named if not (word.isascii() and word.isdigit())]
    query = text("""
        SELECT min(id) FROM organizations WHERE name = ANY(:names) GROUP BY name HAVING count(*) = 1
        UNION SELECT id FROM organizations WHERE id = ANY(:ids) ORDER BY 1""")
    given = {"names": names, "ids": [number for number in ids if number < 2**63]}
    return tuple(connection.execute(query, given).scalars())


def narrow(statement: str, scope: tuple[int, ...]) -> str:
    """`statement` over the rows of those organizations. Raises Refused for what only reads what it says."""
    if _HARMLESS.match(statement):
        return statement
    begins = _SELECT.match(statement)
    if begins is None:
        raise Refused("an organization's viewer reads; nothing else")
    views = ", ".join(view for name, view in _views(scope).items() if name in statement)
    if not views:
        return statement
    if begins[1].upper() == "WITH":
        return f"WITH {views}, {statement[begins.end() :]}"
    return f"WITH {views} {statement}"


def _narrow(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, context: Any, _many: bool
) -> Any:
    scope = context.execution_options.get(OPTION) if context is not None else None
    return (statement if scope is None else narrow(statement, scope)), parameters


@lru_cache(maxsize=256)
def _views(scope: tuple[int, ...]) -> dict[str, str]:
    ids = ", ".join(str(int(number)) for number in scope) or "NULL"
    return {
        table.name: f"{table.name} AS NOT MATERIALIZED ({_rows(table).format(ids=ids)})"
        for table in Base.metadata.sorted_tables
    }


def _rows(table: Table) -> str:
    if table.name in _SHARED:
        return _SHARED[table.name]
    if table.name == "organizations":
        where = "id IN ({ids})"
    elif "organization_id" in table.c:
        where = "organization_id IN ({ids})"
    elif "project_id" in table.c:
        where = "project_id IN (SELECT id FROM projects WHERE organization_id IN ({ids}))"
    else:
        where = "false"
    return f"SELECT {_columns(table)} FROM {table.name} WHERE {where}"


def _columns(table: Table) -> str:
    named = [name for name in ("actor", "acknowledged_by") if name in table.c]
    if not named:
        return "*"
    shown = [column.name for column in table.c if column.name not in named]
    staff = [f"CASE WHEN {name} IS NOT NULL THEN 'the platform' END AS {name}" for name in named]
    return ", ".join([*shown, *staff])
