"""How many projects a day is expected of, so that a sum can say how many of them are in it."""

from collections import defaultdict
from datetime import date, timedelta

from sqlalchemy import Connection, text

from console.data.explore.question import Question
from metering.catalogue.periods import Day
from metering.days.expected_days import EXPECTED

# A project belongs to whoever owned it: the spans of its expected days, cut where the owner changed.
_SPANS = text(f"""
    SELECT starts, ends, count(*) AS projects FROM (
        SELECT greatest(e.starts, w.owned_from)::date AS starts, least(e.ends, w.owned_until)::date AS ends
        FROM ({EXPECTED}) e LEFT JOIN project_owners w ON w.project_id = e.id
        WHERE e.ends > e.starts AND (CAST(:projects AS bigint[]) IS NULL OR e.id = ANY(:projects))
            AND (CAST(:organizations AS bigint[]) IS NULL
                OR coalesce(w.organization_id, e.organization_id) = ANY(:organizations))) spans
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
    for row in connection.execute(_SPANS, parameters):
        changes[row.starts] += row.projects
        changes[row.ends] -= row.projects
    counts, current = {}, 0
    for number in range((question.last - question.first).days + 1):
        day = question.first + timedelta(days=number)
        current += changes.get(day, 0)
        counts[day] = current
    return counts
