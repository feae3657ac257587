"""Limit a transaction to the rows of some organizations; PostgreSQL's row-level security enforces it.

The policies are in migrations/versions/20261127_row_level_security.py. The platform's tables have none:
`metering.catalogue.platform` reads them through the same setting.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, event, text

from metering.errors import ScopeNotEnforced

Scope = tuple[int, ...] | None  # ids of organizations; None: every row

SETTING = "fleetmeter.organizations"
EVERYTHING = "*"
NOTHING = "{}"

_SET = text(f"SELECT set_config('{SETTING}', :organizations, true), row_security_active('project_stats')")


def limit(connection: Connection, scope: Scope) -> None:
    """Limit the running transaction to the rows of `scope`.

    Raises ScopeNotEnforced if the connection's role is exempt from row-level security.
    """
    value = EVERYTHING if scope is None else _array(scope)
    enforced = connection.execute(_SET, {"organizations": value}).one()[1]
    if scope is not None and not enforced:
        raise ScopeNotEnforced(
            "the database role of this console is a superuser or has BYPASSRLS, so that PostgreSQL does not"
            " keep organizations apart; let DATABASE_URL name an ordinary role (docs/sign-in.md)"
        )


def require_limit(engine: Engine) -> None:
    """Make transactions of `engine` see no row until they call `limit`."""

    @event.listens_for(engine, "connect")
    def see_nothing(connection: object, _record: object) -> None:
        connection.autocommit = True  # type: ignore[attr-defined]
        with connection.cursor() as cursor:  # type: ignore[attr-defined]
            cursor.execute(f"SET {SETTING} = '{NOTHING}'")
        connection.autocommit = False  # type: ignore[attr-defined]


def _array(scope: Sequence[int]) -> str:
    return "{" + ",".join(str(int(number)) for number in scope) + "}"


def own_parts(column: str) -> str:
    """Return SQL of a JSONB array of objects with `organization_id`, reduced to those that the session sees.

    A session without a limit sees all of them.
    """
    return f"""CASE WHEN (SELECT fleetmeter_scope()) IS NULL THEN {column} ELSE coalesce((
        SELECT jsonb_agg(part ORDER BY place)
        FROM jsonb_array_elements({column}) WITH ORDINALITY AS each (part, place)
        WHERE (part->>'organization_id')::bigint = ANY ((SELECT fleetmeter_scope())::bigint[])), '[]') END"""
