"""Audit, approvals and pauses on the screen: who did what, and what a second person decides."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from console.views.audit import differences
from metering.catalogue.periods import Month
from metering.db import audit_log
from metering.db.transactions import transaction
from tests.support.people import claims
from tests.support.platform import Platform
from tests.support.two_tenants import TwoTenants

Open = Callable[..., AppTest]
NOW = datetime.now(UTC)
PEOPLE = {"FLEETMETER_ADMINS": "ann@fleet.example,bob@fleet.example", "FLEETMETER_APPROVAL": "adjustment"}
ANN, BOB = claims(email="ann@fleet.example"), claims(email="bob@fleet.example")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, []),
        (None, {"amount": "-12.50"}, ["amount: -12.50"]),
        ({"state": "queued"}, {"state": "cancelled"}, ["state: queued → cancelled"]),
        ({"note": None}, {"note": "seen"}, ["note: none → seen"]),
        ({"is_off": False, "x": 1}, {"is_off": False, "x": 1}, []),
        ({"job": "daily"}, None, ["job: daily → none"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a: [1] → [1, 2]"]),
        (None, {str(n): n for n in range(8)}, [f"{n}: {n}" for n in range(6)] + ["and 2 more"]),
    ],
)
def test_a_change_is_named_cell_by_cell(before: object, after: object, expected: list[str]) -> None:
    assert differences.sentences(before, after) == expected  # type: ignore[arg-type]


@pytest.fixture
def logged(engine: Engine, rivals: TwoTenants) -> Engine:
    with transaction(engine) as connection:
        for number in range(3):
            audit_log.record(
                connection,
                f"ann{number}",
                "cancel",
                f"run {number}",
                {"state": "queued"},
                {"state": "cancelled"},
            )
    return engine


def subjects(page: AppTest) -> list[str]:
    return list(page.dataframe[0].value["To"]) if page.dataframe else []


def test_entries_are_listed_newest_first_and_filtered_by_the_address(logged: Engine, open_page: Open) -> None:
    assert subjects(open_page("audit"))[:3] == ["run 2", "run 1", "run 0"]
    assert subjects(open_page("audit", actor="ANN1")) == ["run 1"]
    assert subjects(open_page("audit", subject="run 0", action="cancel")) == ["run 0"]
    nothing = open_page("audit", subject="run 77")
    assert subjects(nothing) == []
    assert "Nobody did that" in nothing.info[0].value


def test_a_bad_address_is_named(logged: Engine, open_page: Open) -> None:
    page = open_page("audit", action="hack", before="x")
    warnings = " ".join(warning.value for warning in page.warning)
    assert "an action that the log holds" in warnings
    assert "the number of an entry" in warnings


def test_an_older_page_begins_where_the_newer_one_ended(logged: Engine, open_page: Open) -> None:
    newest = int(Platform(logged).scalar("SELECT max(id) FROM audit_log"))
    assert subjects(open_page("audit", before=str(newest)))[:2] == ["run 1", "run 0"]


def test_one_person_asks_and_another_one_approves(
    engine: Engine, rivals: TwoTenants, signing_in: Callable[..., None], open_page: Open
) -> None:
    signing_in(**PEOPLE)
    platform = Platform(engine)
    project = platform.scalar("SELECT min(id) FROM projects")
    page = open_page("billing", ANN, month=str(Month.of(NOW)))
    page.number_input(key="adjust-project").set_value(project)
    page.text_input(key="adjust-by").set_value("-12.50")
    page.text_input(key="adjust-reason").set_value("goodwill")
    page = page.button(key="adjust-post").click().run()
    approval = platform.scalar("SELECT id FROM approvals WHERE state = 'waiting'")
    before = platform.scalar("SELECT count(*) FROM adjustments")
    assert f"approve-{approval}" not in {str(button.key) for button in open_page("billing", ANN).button}
    page = open_page("billing", BOB)
    page = page.button(key=f"approve-{approval}").click().run()
    page = page.button(key=f"confirm-approve-{approval}").click().run()
    assert not page.exception
    assert platform.scalar("SELECT count(*) FROM adjustments") == before + 1
    assert platform.scalar("SELECT decided_by FROM approvals") == "bob@fleet.example"


def test_a_pause_is_shown_on_overview_and_jobs(engine: Engine, rivals: TwoTenants, open_page: Open) -> None:
    platform = Platform(engine)
    page = open_page("jobs")
    page = page.button(key="pause-hourly").click().run()
    page.text_input(key="pause-reason-hourly").set_value("S3 *maintenance*")
    page = page.button(key="confirm-pause-hourly").click().run()
    assert platform.rows("SELECT job, reason, paused_by FROM job_pauses") == [
        ("hourly", "S3 *maintenance*", "console")
    ]
    for name in ("jobs", "overview"):
        warnings = [warning.value for warning in open_page(name).warning]
        assert any("Hourly refresh** is paused until" in one for one in warnings), name
    page = open_page("jobs")
    page.button(key="resume-hourly").click().run()
    assert platform.scalar("SELECT count(*) FROM job_pauses") == 0


def test_a_pause_that_is_over_is_not_shown(engine: Engine, rivals: TwoTenants, open_page: Open) -> None:
    Platform(engine).sql(
        """INSERT INTO job_pauses (job, until, reason, paused_by, paused_at)
        VALUES ('daily', :until, 'x', 'ann', :at)""",
        until=NOW - timedelta(seconds=1),
        at=NOW - timedelta(hours=1),
    )
    assert not [one for one in open_page("jobs").warning if "paused" in one.value]
