"""The audit log: filtered, paged, and exported as it stands."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from metering.db import audit_log
from metering.db.audit_log import Filter
from metering.db.transactions import transaction
from metering.exports.export import Export
from metering.exports.write import write
from tests.support.platform import hours

AT = datetime(2026, 11, 24, tzinfo=UTC)
WRITTEN = (
    ("ann@fleet.example", "adjust", "project 7", AT),
    ("Bob@fleet.example", "adjust", "project 70", AT + hours(1)),
    ("cli", "pause", "job hourly", AT + hours(2)),
    ("100%_ann", "accept-gap", "gap 3", AT + hours(24)),
)


@pytest.fixture
def written(engine: Engine) -> Engine:
    with transaction(engine) as connection:
        for actor, action, subject, at in WRITTEN:
            audit_log.record(connection, actor, action, subject, {"was": 1}, {"is": "=2"}, "why, not", at)
    return engine


@pytest.mark.parametrize(
    ("matching", "subjects"),
    [
        (Filter(AT), ["gap 3", "job hourly", "project 70", "project 7"]),
        (Filter(AT, AT + hours(24)), ["job hourly", "project 70", "project 7"]),
        (Filter(AT, actor="BOB"), ["project 70"]),
        (Filter(AT, actor="%_"), ["gap 3"]),
        (Filter(AT, action="adjust"), ["project 70", "project 7"]),
        (Filter(AT, subject="Project 7"), ["project 70", "project 7"]),
        (Filter(AT, actor="nobody"), []),
    ],
)
def test_entries_are_found_by_who_what_and_when(
    written: Engine, matching: Filter, subjects: list[str]
) -> None:
    with transaction(written) as connection:
        assert [entry.subject for entry in audit_log.entries(connection, matching, 10)] == subjects


def test_pages_hold_each_entry_once(written: Engine) -> None:
    with transaction(written) as connection:
        first = audit_log.entries(connection, Filter(AT), 3)
        second = audit_log.entries(connection, Filter(AT), 3, first[-1].id)
    assert [entry.subject for entry in first + second] == ["gap 3", "job hourly", "project 70", "project 7"]


def test_the_names_of_the_actions_are_those_of_the_log(written: Engine) -> None:
    with transaction(written) as connection:
        assert audit_log.actions(connection) == ["accept-gap", "adjust", "install", "pause"]


def test_the_export_holds_the_entries_guarded_for_spreadsheets(written: Engine, tmp_path: Path) -> None:
    output = tmp_path / "audit.csv"
    with transaction(written) as connection:
        write(connection, Export.for_audit(Filter(AT)), "csv", output)
    rows = list(csv.DictReader(output.open()))
    assert [row["subject"] for row in rows] == [subject for _, _, subject, _ in WRITTEN]
    assert json.loads(rows[0]["after"]) == {"is": "=2"}
    assert rows[0]["at"] == "2026-11-24T00:00:00Z"


def test_an_organization_sees_nothing_but_the_installation(written: Engine) -> None:
    with written.begin() as connection:
        connection.execute(text("SELECT set_config('fleetmeter.organizations', '{1}', true)"))
        entries = audit_log.entries(connection, Filter(), 10)
    assert {entry.action for entry in entries} == {"install"}
