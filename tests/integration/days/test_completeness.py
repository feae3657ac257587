"""Which days of a fleet are sealed and what is missing: the quick way finds what the plain way finds."""

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Connection, Engine, text

from metering.catalogue.periods import Day
from metering.days import completeness, expected_days
from metering.db.transactions import transaction
from tests.support.platform import Platform

FIRST, LAST = Day(date(2026, 9, 20)), Day(date(2026, 11, 9))
AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
SEAL = text("""
    INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, tier, coverage, row_hash,
        created_at)
    SELECT id, :date, organization_id, extract(year FROM CAST(:date AS date)),
        extract(month FROM CAST(:date AS date)), extract(day FROM CAST(:date AS date)), 'free', '{}',
        repeat('0', 64), :at
    FROM projects WHERE id = ANY(:ids)""")


def seal(connection: Connection, day: date, ids: list[int]) -> None:
    connection.execute(text("SET LOCAL session_replication_role = replica"))
    connection.execute(SEAL, {"date": day, "ids": ids, "at": AT})


def fleet(platform: Platform, draw: random.Random) -> dict[int, tuple[date, date]]:
    """Projects, each with its first expected day and the one after its last."""
    bounds = {}
    organization = platform.organization()
    for _ in range(12):
        since = FIRST.date + timedelta(days=draw.choice((-9, 0, 4, 30)))
        until = draw.choice((LAST.date, since + timedelta(days=draw.randint(0, 40))))
        project = platform.project(organization, created_at=f"{since}T10:00:00Z")
        if until < LAST.date:
            platform.deactivate(project, datetime(until.year, until.month, until.day, 9, tzinfo=UTC))
        bounds[project] = since, min(until, LAST.date) + timedelta(days=1)
    return bounds


@pytest.mark.parametrize("seed", range(4))
def test_what_is_missing_is_what_the_plain_way_finds(engine: Engine, platform: Platform, seed: int) -> None:
    draw = random.Random(seed)
    expected = fleet(platform, draw)
    holes = {(draw.choice(list(expected)), draw.randint(0, 50)) for _ in range(6 * seed)}
    with transaction(engine) as connection:
        for number in range(51):
            day = FIRST.date + timedelta(days=number)
            whose = [one for one, (since, until) in expected.items() if since <= day < until]
            seal(connection, day, [one for one in whose if (one, number) not in holes])
        plain = expected_days.missing_days(connection, FIRST, LAST, AT)
        days = completeness.read(connection, FIRST, LAST, AT)
        assert completeness.find_missing(connection, days, AT) == plain
        counts = dict(connection.execute(text("SELECT date, count(*) FROM daily_stats GROUP BY date")).all())
    assert [day.date for day in days] == [FIRST.date + timedelta(days=number) for number in range(51)]
    assert {day.date: day.projects for day in days if day.projects} == {
        day: number for day, number in counts.items() if day >= FIRST.date
    }
    assert {day.date for day in days if not day.is_complete} == {one.date for one in plain}
    assert bool(plain) == bool(holes)


def test_as_many_projects_but_not_the_same_is_not_whole(engine: Engine, platform: Platform) -> None:
    """A day sealed for a project that was switched off before hides none that is missing."""
    day = LAST.date
    here = platform.project(created_at="2026-10-01T00:00:00Z")
    off = platform.project(created_at="2026-10-01T00:00:00Z")
    platform.deactivate(off, AT - timedelta(days=5))
    with transaction(engine) as connection:
        seal(connection, day, [off])
        days = completeness.read(connection, LAST, LAST, AT)
        assert [(one.projects, one.is_complete) for one in days] == [(1, False)]
        assert [(one.project_id, one.date) for one in completeness.find_missing(connection, days, AT)] == [
            (here, day)
        ]
