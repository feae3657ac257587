"""Saved views of Explore and Changes: a person's own, or shared among the platform's people.

A view is an address, without figures. An organization's people see their own views only: the name of a shared
view, and the organizations that it filters by, may be about other customers.
"""

from typing import Any, Literal

from sqlalchemy import Connection, text

from console.data import session
from console.data.queries.rows import Row, every
from console.data.transactions import write_transaction
from metering.db import audit_log
from metering.errors import AccessRefused

View = Literal["explore", "changes"]
NAME = 80  # characters at most
_READ = text("""
    SELECT id, name, page, address, owner, is_shared, is_pinned FROM saved_views
    WHERE owner = :actor OR is_shared ORDER BY owner <> :actor, name, id""")
_SAVE = text("""
    INSERT INTO saved_views (name, page, address, owner, organization_ids, is_shared, is_pinned)
    VALUES (:name, :page, :address, :actor, :scope, :is_shared, :is_pinned)
    ON CONFLICT (owner, name) DO UPDATE SET page = excluded.page, address = excluded.address,
        is_shared = excluded.is_shared, is_pinned = excluded.is_pinned
    RETURNING id""")
_ONE = text("SELECT id, name, page, address, owner, is_shared, is_pinned FROM saved_views WHERE id = :id")
_DELETE = text("DELETE FROM saved_views WHERE id = :id")
_PIN = text("UPDATE saved_views SET is_pinned = :is_pinned WHERE id = :id")


def read(connection: Connection, actor: str) -> list[Row]:
    """Return the person's own views and those that are shared, by name, own ones first."""
    return every(connection, _READ, actor=actor)


def save(name: str, page: View, address: str, shared: bool = False, pinned: bool = False) -> int:
    """Store `address`, the query of `page`, under `name` and return its id; replace one of that name.

    Raises Refused without a name, and for sharing by somebody of an organization or without role operator.
    """
    name = " ".join(name.split())
    if not 0 < len(name) <= NAME:
        raise AccessRefused(f"A view needs a name of 1 to {NAME} characters; nothing was saved")
    scope = session.current_scope()
    if shared and scope is not None:
        raise AccessRefused("A view of an organization is its owner's alone; save it without sharing")
    with write_transaction("operator" if shared else "viewer") as by:
        parameters: dict[str, Any] = {"name": name, "page": page, "address": address, "actor": by.actor}
        parameters |= {"scope": None if scope is None else list(scope)}
        parameters |= {"is_shared": shared, "is_pinned": pinned}
        identifier = int(by.connection.execute(_SAVE, parameters).scalar_one())
        audit_log.record(by.connection, by.actor, "save view", f"view {identifier}", None, parameters)
        return identifier


def pin(view: int, pinned: bool) -> None:
    """Pin the view to Overview, or unpin it. Raises Refused for another person's."""
    with write_transaction("viewer") as by:
        before = _own(by.connection, view, by.actor)
        by.connection.execute(_PIN, {"id": view, "is_pinned": pinned})
        after = {**before, "is_pinned": pinned}
        audit_log.record(by.connection, by.actor, "pin view", f"view {view}", before, after)


def delete(view: int) -> None:
    """Delete a view. Raises Refused for another person's."""
    with write_transaction("viewer") as by:
        before = _own(by.connection, view, by.actor)
        by.connection.execute(_DELETE, {"id": view})
        audit_log.record(by.connection, by.actor, "delete view", f"view {view}", before)


def _own(connection: Connection, view: int, actor: str) -> Row:
    rows = every(connection, _ONE, id=view)
    if not rows or rows[0]["owner"] != actor:
        raise AccessRefused("This view is another person's, or is deleted already; nothing was changed")
    return rows[0]
