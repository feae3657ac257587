"""Every grouping of hours is what a plain loop over the rows of the ledger makes of them."""

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, text

from console.data.explore import hours
from console.data.explore.measures import catalogue
from console.data.explore.question import Filters, Question
from metering.catalogue.own_meters import OwnMeter
from tests.support.platform import Platform
from tests.support.properties import quick

FIRST, TODAY = date(2026, 10, 30), date(2026, 11, 2)  # over the end of a month, and of its partition
START = datetime(2026, 10, 30, tzinfo=UTC)
HOURS = 24 * 4
OWN = {
    "queries": OwnMeter("queries", "count", "sum", "Queries", ""),
    "peak_load": OwnMeter("peak_load", "count", "max", "Peak load", ""),
}
MEASURES = catalogue(OWN)
METERS = ("mqtt_inbound", "api_calls", "device_count", "queries", "peak_load")
LARGE = 2**62


@dataclass(frozen=True)
class Hour:
    """An hour of the ledger; `polled` says whether the polled source has looked at it, None is unknown."""

    project: int
    number: int
    mqtt_inbound: int
    api_calls: int
    polled: bool
    device_count: int | None
    queries: int
    peak_load: int

    def value(self, name: str) -> int | None:
        if name == "api_calls" and not self.polled:
            return None
        value: int | None = getattr(self, name)
        return value

    @property
    def hour(self) -> datetime:
        return START + timedelta(hours=self.number)


@dataclass(frozen=True)
class Owners:
    """Who owned each project at the seal of a day, where that was another one than today's: by day."""

    now: dict[int, int]
    sealed: dict[tuple[int, date], int]

    def of(self, row: Hour) -> int:
        return self.sealed.get((row.project, row.hour.date()), self.now[row.project])


def rows(projects: list[int]) -> st.SearchStrategy[list[Hour]]:
    edges = st.sampled_from([0, 23, 24, 47, 48, HOURS - 1])  # first and last hours of days
    count = st.sampled_from([0, 1, 7, LARGE])
    hour = st.builds(
        Hour,
        st.sampled_from(projects),
        st.one_of(edges, st.integers(0, HOURS - 1)),
        count,
        count,
        st.booleans(),
        st.one_of(st.none(), st.integers(0, 9)),
        st.integers(0, 9),
        st.integers(0, 9),
    )
    return st.lists(hour, max_size=40, unique_by=lambda row: (row.project, row.number))


def insert(connection: Connection, ledger: list[Hour]) -> None:
    records = [
        {
            "project_id": row.project,
            "hour": row.hour.isoformat(),
            "mqtt_inbound": row.mqtt_inbound,
            "api_calls": row.api_calls,
            "device_count": row.device_count,
            "measured": {"platform_db": row.hour.isoformat()} if row.polled else {},
            "meters": {name: getattr(row, name) for name in OWN if getattr(row, name)},
        }
        for row in ledger
    ]
    connection.execute(
        text("""INSERT INTO usage_hourly (project_id, hour, mqtt_inbound, api_calls, device_count, measured,
                meters)
            SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r (project_id bigint,
                hour timestamptz, mqtt_inbound bigint, api_calls bigint, device_count bigint,
                measured jsonb, meters jsonb)"""),
        {"rows": json.dumps(records)},
    )


def seal(connection: Connection, owners: Owners) -> None:
    for (project, day), organization in owners.sealed.items():
        connection.execute(
            text("""INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, tier,
                    coverage, row_hash)
                SELECT :project, CAST(:day AS date), :organization, extract(year FROM CAST(:day AS date)),
                    extract(month FROM CAST(:day AS date)), extract(day FROM CAST(:day AS date)),
                    tier, '{}', '' FROM organizations WHERE id = :organization"""),
            {"project": project, "day": day, "organization": organization},
        )


def of_loop(ledger: list[Hour], owners: Owners, question: Question, labels: list[Any]) -> dict[Any, int]:
    """Return sums (or maxima) by measure, label and hour; groups without a series have the label None."""
    values: dict[Any, list[int]] = defaultdict(list)
    for row in ledger:
        organization = owners.of(row)
        if not question.first <= row.hour.date() <= question.last:
            continue
        if question.filters.projects and row.project not in question.filters.projects:
            continue
        if question.filters.organizations and organization not in question.filters.organizations:
            continue
        label = {"none": "", "organization": organization, "project": row.project}[question.by]
        for measure in question.measures:
            value = row.value(measure.name)
            if value is not None:
                values[measure.name, label if label in labels else None, row.hour].append(value)
    return {key: max(numbers) if key[0] == "peak_load" else sum(numbers) for key, numbers in values.items()}


def questions(organizations: list[int], projects: list[int]) -> st.SearchStrategy[Question]:
    day = st.integers(0, 3).map(lambda number: FIRST + timedelta(days=number))
    return st.builds(
        lambda names, by, top, filters, start, end: Question(
            tuple(MEASURES[name] for name in names),
            by,
            top,
            filters,
            min(start, end),
            max(start, end),
            "hour",
        ),
        st.lists(st.sampled_from(METERS), min_size=1, max_size=3, unique=True),
        st.sampled_from(["none", "organization", "project"]),
        st.integers(1, 3),
        st.builds(
            Filters,
            organizations=st.sampled_from([(), (), (organizations[0],)]),
            projects=st.sampled_from([(), (), tuple(projects[1:3])]),
        ),
        day,
        day,
    )


@quick
@given(data=st.data())
def test_hours_are_what_a_loop_over_the_ledger_makes(
    engine: Engine, platform: Platform, data: st.DataObject
) -> None:
    organizations = [platform.organization("pro") for _ in range(2)]
    now = {
        platform.project(organizations[n % 2], created_at="2026-01-01Z"): organizations[n % 2]
        for n in range(4)
    }
    projects = list(now)
    sealed = st.dictionaries(
        st.tuples(st.sampled_from(projects), st.sampled_from([FIRST, FIRST + timedelta(days=1)])),
        st.sampled_from(organizations),
        max_size=4,
    )
    owners = Owners(now, data.draw(sealed))
    ledger = data.draw(rows(projects))
    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection, ledger)
        seal(connection, owners)
        for _ in range(4):
            question = data.draw(questions(organizations, projects))
            result = hours.read(connection, question, TODAY)
            values = {
                (row["measure"], row["label"], row["period"]): row["value"]
                for row in result.frame.to_dict("records")
                if row["value"] is not None
            }
            assert values == of_loop(ledger, owners, question, result.labels)
            assert len(result.labels) == min(question.top, result.groups)
        transaction.rollback()
