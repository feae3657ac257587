"""How many projects a day is expected of, so that a sum can say how many of them are in it."""

from collections import defaultdict
from datetime import date, timedelta

from sqlalchemy import Connection

from console.data.explore.question import Question
from metering.catalogue.periods import Day
from metering.days.expected_days import EXPECTED
from metering.db.prepared import Planned

# A project belongs to whoever owned it: the spans of its expected days, cut where the owner changed.
# OFFSET 0: else PostgreSQL works out each project's first and last day anew wherever they are named. It looks
# at every partition of days when it plans this, which takes as long as running it for ten thousand projects.
_SPANS = Planned(f"""
    SELECT starts, ends, count(*) AS projects FROM (
        SELECT greatest(e.starts, w.owned_from)::date AS starts, least(e.ends, w.owned_until)::date AS ends
        FROM ({EXPECTED} OFFSET 0) e LEFT JOIN project_owners w ON w.project_id = e.id
        WHERE e.ends > e.starts AND (CAST(:projects AS bigint[]) IS NULL OR e.id = ANY(:projects))
            AND (CAST(:organizations AS bigint[]) IS NULL
                OR coalesce(w.organization_id, e.organization_id) = ANY(:organizations)) OFFSET 0) spans
    WHERE starts < ends GROUP BY starts, ends""")


def read(connection: Connection, question: Question, at: date) -> dict[date, int]:
    """Return the number of projects expected on each day of the range that is over; empty for tiers.

    Which tier a project would have had on a day that is not sealed, nobody has read.
    """
    if question.filters.tiers:
        return {}
    since, until = Day(question.first).start, Day(min(question.last, at)).end
    parameters = question.parameters() | {
        "since": since,
        "until": until,
        "at": Day(at).start,
        "project_id": None,
    }
    changes: dict[date, int] = defaultdict(int)
    for row in _SPANS.execute(connection, parameters):
        changes[row.starts] += row.projects
        changes[row.ends] -= row.projects
    counts, current = {}, 0
    for number in range((question.last - question.first).days + 1):
        day = question.first + timedelta(days=number)
        current += changes.get(day, 0)
        counts[day] = current
    return counts
