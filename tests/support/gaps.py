"""Record, for a test, a time in which a source was blind."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from metering.catalogue.sources import SourceName

# silent        not read since; ends by itself when its source is read again
# session_lost  the broker discarded the session of a counter daemon, and its messages
# taken_over    another client used the client id of a counter daemon, and received its messages
# retired       an operator gave up a counter daemon, and what the broker held for it
# partial_day   a day was sealed with a part of its rows; see partial_days.py
# other         anything else, such as a gap that an operator records
GapKind = Literal["silent", "session_lost", "taken_over", "retired", "partial_day", "other"]


def open_gap(
    connection: Connection,
    source: SourceName,
    starts_at: datetime,
    ends_at: datetime | None,
    reason: str,
    project_ids: Sequence[int] | None = None,
    kind: GapKind = "other",
) -> None:
    """Record that `source` was blind in `[starts_at, ends_at)`.

    Without `project_ids` it was blind for all projects. `reason` is a sentence for people; `kind` decides who
    is alerted and how the gap is covered.
    """
    connection.execute(
        text("""
            INSERT INTO gaps (source, starts_at, ends_at, kind, reason, project_ids)
            VALUES (:source, :starts_at, :ends_at, :kind, :reason, :projects)"""),
        {
            "source": source,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "kind": kind,
            "reason": reason,
            "projects": None if project_ids is None else list(project_ids),
        },
    )
