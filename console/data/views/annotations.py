"""Notes on days: an incident, a price change, anything else; about a project, an organization, the fleet."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from sqlalchemy import Connection, text

from console.data.queries.rows import Row, every
from console.data.transactions import write_transaction
from metering.catalogue import platform
from metering.db import audit_log
from metering.errors import AccessRefused

Kind = Literal["incident", "price", "other"]
KINDS: dict[Kind, str] = {"incident": "Incident", "price": "Price change", "other": "Other"}
TEXT = 200  # characters at most
MOST = 200  # of one chart

# Of the fleet always; of organizations and projects that are in the chart, or of all where none is named.
_READ = text(f"""
    SELECT id, first, last, kind, text, organization_id, project_id, author FROM annotations
    WHERE first <= :last AND last >= :first
        AND (organization_id IS NULL OR :everything OR project_id = ANY(:projects)
            OR (project_id IS NULL AND organization_id = ANY(:organizations)))
    ORDER BY first, id LIMIT {MOST}""")
_OWNER = text(f"SELECT organization_id FROM {platform.PROJECTS} p WHERE p.id = :id")
_ORGANIZATION = text(f"SELECT id FROM {platform.ORGANIZATIONS} o WHERE id = :id")
_WRITE = text("""
    INSERT INTO annotations (first, last, kind, text, organization_id, project_id, author)
    VALUES (:first, :last, :kind, :text, :organization_id, :project_id, :author) RETURNING id""")
_ONE = text(
    "SELECT first, last, kind, text, organization_id, project_id, author FROM annotations WHERE id = :id"
)
_DELETE = text("DELETE FROM annotations WHERE id = :id")


@dataclass(frozen=True)
class Note:
    """A note on the UTC days from `first` to `last`, both included."""

    first: date
    last: date
    kind: Kind
    text: str
    organization_id: int | None = None
    project_id: int | None = None


def read(
    connection: Connection,
    first: date,
    last: date,
    organizations: tuple[int, ...] = (),
    projects: tuple[int, ...] = (),
) -> list[Row]:
    """Return the notes that touch the range: the fleet's, and those of these organizations and projects.

    With neither, the notes of all. The session's scope limits the notes.
    """
    parameters = {"organizations": list(organizations), "projects": list(projects)}
    return every(
        connection, _READ, first=first, last=last, everything=not (organizations or projects), **parameters
    )


def write(note: Note) -> int:
    """Store a note and return its id. Raises Refused without text, or for an unknown project."""
    words = " ".join(note.text.split())
    if not 0 < len(words) <= TEXT:
        raise AccessRefused(f"A note needs a text of 1 to {TEXT} characters; nothing was saved")
    if note.first > note.last:
        raise AccessRefused("A note's last day is before its first; nothing was saved")
    with write_transaction("operator") as by:
        parameters = vars(note) | {"text": words, "author": by.actor}
        parameters["organization_id"] = _organization(by.connection, note)
        identifier = int(by.connection.execute(_WRITE, parameters).scalar_one())
        audit_log.record(by.connection, by.actor, "annotate", f"note {identifier}", None, parameters)
        return identifier


def delete(note: int) -> None:
    """Delete a note; one that is gone already is no error."""
    with write_transaction("operator") as by:
        for before in every(by.connection, _ONE, id=note):
            by.connection.execute(_DELETE, {"id": note})
            audit_log.record(by.connection, by.actor, "delete note", f"note {note}", before)


def _organization(connection: Connection, note: Note) -> int | None:
    if note.project_id is None and note.organization_id is None:
        return None
    query, identifier, what = (
        (_OWNER, note.project_id, "project")
        if note.project_id is not None
        else (_ORGANIZATION, note.organization_id, "organization")
    )
    owner = connection.execute(query, {"id": identifier}).scalar()
    if owner is None:
        raise AccessRefused(f"There is no {what} {identifier}; nothing was saved")
    return int(owner)
