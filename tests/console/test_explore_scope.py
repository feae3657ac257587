"""A customer's people on Explore: their own rows in every grouping, total, comparison and file."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, text

from console.data.explore import distribution, names
from console.data.explore.measures import catalogue
from console.data.explore.question import Filters
from console.views.explore import answers, files
from console.views.explore.state import GROUPS, State
from metering.db import scope
from metering.db.transactions import read_snapshot
from tests.support.two_tenants import ORGANIZATION, PROJECTS, SECRET, TwoTenants

AT = datetime.now(UTC)


@contextmanager
def limited(engine: Engine, organizations: scope.Scope) -> Iterator[Connection]:
    with read_snapshot(engine) as connection:
        scope.limit(connection, organizations)
        yield connection


def states() -> Iterator[State]:
    first = AT.date() - timedelta(days=45)
    meters = (
        ("mqtt_inbound", "auto"),
        ("mqtt_inbound", "hour"),
        ("storage_bytes", "month"),
        ("charge", "month"),
    )
    for by, (meter, grain) in itertools.product(GROUPS, meters):
        yield State(
            (meter,), by, 1, range="", first=first, last=AT.date(), grain=grain, vs="previous", look="line"
        )


def output(connection: Connection, state: State) -> str:
    result = answers.read(connection, state, AT)
    rows = files.rows(result)
    return repr(result) + files.as_csv(rows, files.columns(result))


def test_every_grouping_total_comparison_and_file_holds_own_rows_alone(
    engine: Engine, rivals: TwoTenants
) -> None:
    everyone = State(("mqtt_inbound",), "project", 50, range="30d")
    with limited(engine, None) as connection:
        assert SECRET in output(connection, everyone)
    with limited(engine, (rivals.organization,)) as connection:
        before = [output(connection, state) for state in states()]
    assert [
        result for result in before if any(secret in result for secret in (SECRET, str(ORGANIZATION)))
    ] == []
    with engine.begin() as connection:  # whatever the rival does, nothing that is seen changes
        connection.execute(
            text("UPDATE usage_hourly SET mqtt_inbound = mqtt_inbound + 999 WHERE project_id = ANY(:ids)"),
            {"ids": list(PROJECTS)},
        )
        connection.execute(text("UPDATE organization_days SET mqtt_inbound = 1 WHERE organization_id = :id"),
                           {"id": ORGANIZATION})  # fmt: skip
        connection.execute(text("UPDATE tier_days SET mqtt_inbound = mqtt_inbound + 999"))
    with limited(engine, (rivals.organization,)) as connection:
        assert [output(connection, state) for state in states()] == before


def test_a_filter_by_a_foreign_id_finds_nothing(engine: Engine, rivals: TwoTenants) -> None:
    foreign = (
        Filters(organizations=(ORGANIZATION,)),
        Filters(projects=PROJECTS),
        Filters(projects=(9_999_999,)),
    )
    with limited(engine, (rivals.organization,)) as connection:
        for by in ("none", "project", "organization"):
            outputs = [output(connection, State(by=by, filters=filters)) for filters in foreign]
            texts = {result.replace(str(ORGANIZATION), "").replace("None", "") for result in outputs}
            assert len(texts) >= 1
            assert all(SECRET not in result for result in outputs)
        assert names.search(connection, SECRET) == []
        assert names.projects(connection, PROJECTS) == {}


def test_a_distribution_counts_own_projects_alone(engine: Engine, rivals: TwoTenants) -> None:
    question = State(range="30d").question(AT.date(), catalogue({}))
    with limited(engine, (rivals.organization,)) as connection:
        own = distribution.read(connection, question, AT.date())
    with limited(engine, None) as connection:
        every = distribution.read(connection, replace(question, by="project"), AT.date())
    assert own.projects == 5
    assert every.projects == 7
