"""How a measure is distributed over projects: a histogram that PostgreSQL counts, and the usual quantiles."""

from dataclasses import dataclass
from datetime import date

from sqlalchemy import Connection, text

from console.data.explore import months
from console.data.explore.days import filters, first_open, open_from
from console.data.explore.question import Question

BINS = 24


@dataclass(frozen=True)
class Distribution:
    """Bins of equal width from `lowest` to `highest`, with the number of projects in each.

    `unknown` projects have no known value. `quantiles` are of 0.5, 0.9 and 0.99.
    """

    counts: tuple[int, ...]
    lowest: int
    highest: int
    projects: int
    unknown: int
    quantiles: tuple[float, ...]

    def edges(self) -> list[float]:
        """Return the lower edge of each bin, and the upper one of the last."""
        width = (self.highest - self.lowest) / len(self.counts) if self.counts else 0
        return [self.lowest + number * width for number in range(len(self.counts) + 1)]


def read(connection: Connection, question: Question, today: date) -> Distribution:
    """Count the projects of the question by their sum (a gauge: level at the end) over the range."""
    first_open_day = first_open(connection, question, today)
    ranking = months.valued(question, first_open_day, filters(question))
    parameters = question.parameters() | ranking.parameters | open_from(first_open_day)
    parameters |= {"today": today, "bins": BINS}
    row = connection.execute(text(_STATEMENT.format(values=ranking.statement)), parameters).one()
    if row.counts is None:
        return Distribution((), 0, 0, 0, row.unknown, ())
    counts = [0] * (BINS if row.highest > row.lowest else 1)
    for bin_number, projects in row.counts:
        counts[min(bin_number, len(counts)) - 1] += projects
    return Distribution(
        tuple(counts), int(row.lowest), int(row.highest), row.projects, row.unknown, tuple(row.quantiles)
    )


# The highest value is a bin of its own for width_bucket, and belongs to the last one.
_STATEMENT = """
    WITH valued AS MATERIALIZED ({values}), bounds AS (
        SELECT min(value) AS lowest, max(value) AS highest, count(value) AS projects,
            count(*) FILTER (WHERE value IS NULL) AS unknown,
            percentile_cont(ARRAY[0.5, 0.9, 0.99]) WITHIN GROUP (ORDER BY value::float) AS quantiles
        FROM valued)
    SELECT b.*, (SELECT jsonb_agg(jsonb_build_array(bin, projects) ORDER BY bin) FROM (
        SELECT CASE WHEN b.highest > b.lowest THEN width_bucket(v.value, b.lowest, b.highest, :bins)
            ELSE 1 END AS bin, count(*) AS projects
        FROM valued v WHERE v.value IS NOT NULL GROUP BY 1) bins) AS counts
    FROM bounds b"""
