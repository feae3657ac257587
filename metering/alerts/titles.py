"""Describe an incident in a sentence: the same in the console, at the command line and in messages."""

from collections.abc import Mapping
from typing import Any

from metering.alerts.sentences import SENTENCES

Row = Mapping[str, Any]  # of an alert: kind, subject, detail, project_id, organization_id, and names of both
NAME = 60  # characters of a name that somebody chose


def title(row: Row, names: bool = True) -> str:
    """Return the sentence of an alert; without `names` that people of the platform chose.

    An alert of another version, whose detail is unknown here, is called by its subject.
    """
    try:
        sentence = SENTENCES[row["kind"]](row["detail"])
    except (KeyError, TypeError, ValueError, ArithmeticError):
        sentence = f"{words(row['kind'])}: {row['subject']}" if names else words(row["kind"])
    subject = whose(row, names)
    return f"{subject}: {sentence}" if subject else sentence[:1].upper() + sentence[1:]


def whose(row: Row, names: bool = True) -> str:
    """Return the name of the project or organization that an alert is about; nothing for the fleet."""
    for noun in ("project", "organization"):
        identity = row.get(f"{noun}_id")
        if identity is not None:
            name = row.get(noun) if names else None
            return str(name)[:NAME] if name else f"{noun.capitalize()} {identity}"
    return ""


def words(kind: str) -> str:
    """Return a kind in words: `source failed`."""
    return kind.replace("_", " ")
