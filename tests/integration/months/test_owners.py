"""A month with the days of several owners: its bill, `month`, `explain` and an alert name each of them."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from console.data.queries import billing
from fleetmeter.cli import main
from metering.alerts import alerts, incidents, titles
from metering.catalogue import history
from metering.catalogue.periods import Day
from metering.config.settings import Settings
from metering.days import completeness, coverage_matrix, expected_days
from metering.db import scope
from metering.db.transactions import transaction
from metering.exports.export import Export
from metering.ledger.late_rows import LateRows
from metering.months import adjustments, explain, explanation, gaps, late_rows, other_owner
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support import runs
from tests.support.closed_months import OCTOBER, close, count
from tests.support.platform import Platform


@pytest.fixture
def moved(engine: Engine, platform: Platform) -> tuple[int, int, int]:
    """A project that was moved on 21 October: its id, its first and its second owner."""
    seller, buyer = platform.organization("free", "Seller"), platform.organization("starter", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    count(engine, seller, project, 700, OCTOBER.start + timedelta(days=4))
    platform.sql("UPDATE projects SET organization_id = :to", to=buyer)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(days=20, hours=5))
    count(engine, buyer, project, 30, OCTOBER.start + timedelta(days=22))
    close(engine, [project])
    return project, seller, buyer


def test_the_bill_goes_to_the_last_owner_and_names_each_one(
    engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    _, seller, buyer = moved
    ((owner, owners),) = platform.rows("SELECT organization_id, owners FROM monthly_stats")
    assert owner == buyer
    assert owners == [
        {"organization_id": seller, "days": 20, "usage": {"mqtt_inbound": 700}},
        {"organization_id": buyer, "days": 11, "usage": {"mqtt_inbound": 30}},
    ]
    assert verify(engine).sound


def test_month_explain_and_an_alert_name_each_owner(
    configured: Settings, engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    project, seller, buyer = moved
    names = f"organization {seller}: 20 days, 700 MQTT messages in; organization {buyer}: 11 days"
    with transaction(engine) as connection:
        text = "\n".join(explanation.render(explain.explain(connection, project, OCTOBER)))
        alerts.refresh(connection, OCTOBER.end + timedelta(days=1), plans.load(None))
    assert names in text
    answer = CliRunner().invoke(main.app, ["month", str(OCTOBER), "--json"])
    (row,) = json.loads(answer.stdout)["projects"]
    assert [owner["days"] for owner in row["owners"]] == [20, 11]
    ((alert,),) = platform.rows("SELECT detail FROM alerts WHERE kind = 'project_moved'")
    assert [owner["organization_id"] for owner in alert["owners"]] == [seller, buyer]
    with transaction(engine) as connection:
        alerts.refresh(connection, OCTOBER.next().end + timedelta(days=1), plans.load(None))
    assert platform.rows("SELECT FROM alerts WHERE kind = 'project_moved' AND resolved_at IS NULL") == []


def test_a_project_that_was_moved_after_its_last_day_names_whose_days_they_were(
    engine: Engine, platform: Platform
) -> None:
    seller, buyer = platform.organization("free", "Seller"), platform.organization("starter", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    count(engine, seller, project, 5, OCTOBER.start + timedelta(days=4))
    platform.deactivate(project, OCTOBER.start + timedelta(days=9, hours=3))
    platform.sql("UPDATE projects SET organization_id = :to", to=buyer)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(days=15))
    close(engine, [project])
    ((owner, owners),) = platform.rows("SELECT organization_id, owners FROM monthly_stats")
    assert owner == buyer
    assert [(each["organization_id"], each["days"]) for each in owners] == [(seller, 10)]


def test_a_month_of_one_owner_names_none(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"), created_at=OCTOBER.start)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    close(engine, [project])
    assert platform.rows("SELECT owners, later_readings FROM monthly_stats") == [([], [])]


def test_a_project_first_read_after_the_month_says_that_its_readings_are_later(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = platform.project(platform.organization("starter"), created_at=OCTOBER.start)
    close(engine, [project])
    assert platform.scalar("SELECT later_readings FROM monthly_stats") == ["owner", "tier"]
    words = "owner and tier are later readings: nothing was read before the month's end"
    with transaction(engine) as connection:
        assert words in "\n".join(explanation.render(explain.explain(connection, project, OCTOBER)))
        assert history.owner_at(connection, project, Day.of(OCTOBER.start).end) is not None
    answer = CliRunner().invoke(main.app, ["month", str(OCTOBER), "--json"])
    assert json.loads(answer.stdout)["projects"][0]["later_readings"] == ["owner", "tier"]


def test_an_organization_reads_its_own_part_of_a_moved_month_only(
    engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    project, seller, buyer = moved
    other = platform.organization("free", "Third")
    read = {}
    for owner in (None, (seller,), (buyer,), (other,)):
        with transaction(engine) as connection:
            scope.limit(connection, owner)
            bills = Export.for_month(OCTOBER)
            place = bills.names.index("owners")
            exported = [row[place] for row in bills.rows(connection)]
            listed = [row["owners"] for row in billing.bills(connection, OCTOBER)]
            explained = []
            if owner in (None, (buyer,)):
                bill = explain.explain(connection, project, OCTOBER)
                explained = [explanation.as_json(bill)["owners"], bill.bill["owners"]]
                assert owner is None or f"organization {seller}" not in "\n".join(explanation.render(bill))
        read[owner] = [[each["organization_id"] for each in one] for one in (*exported, *listed, *explained)]
    assert read == {
        None: [[seller, buyer]] * 4,
        (seller,): [],  # the bill is the buyer's
        (buyer,): [[buyer]] * 4,
        (other,): [],
    }


def test_an_alert_tells_the_present_owner_of_itself_only(
    configured: Settings, engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    project, seller, buyer = moved
    with transaction(engine) as connection:
        alerts.refresh(connection, OCTOBER.end + timedelta(days=1), plans.load(None))
    third = platform.organization("free", "Third")
    for owner, own, billed in ((buyer, [buyer], buyer), (third, [], None)):
        platform.sql("UPDATE projects SET organization_id = :to WHERE id = :id", to=owner, id=project)
        with transaction(engine) as connection:
            scope.limit(connection, (owner,))
            rows = connection.execute(text(incidents.LIST)).mappings().all()
        (detail,) = [row["detail"] for row in rows if row["kind"] == "project_moved"]
        assert [each["organization_id"] for each in detail["owners"]] == own
        assert detail["organization_id"] == billed
        (title,) = [titles.title(row) for row in rows if row["kind"] == "project_moved"]
        assert str(seller) not in title.split()


def test_days_of_a_former_owner_are_not_missing_for_the_next_one(
    engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    project, seller, buyer = moved
    last, at = OCTOBER.next().first, OCTOBER.end + timedelta(days=1)  # nobody has sealed the last day
    missing = {}
    for owner in (None, (seller,), (buyer,)):
        with transaction(engine) as connection:
            scope.limit(connection, owner)
            days = expected_days.missing_days(connection, OCTOBER.first, last, at)
            sealed = completeness.read(connection, OCTOBER.first, last, at)
            assert completeness.find_missing(connection, sealed, at) == days
            cells = coverage_matrix.matrix(connection, OCTOBER.first, last, at)
            assert {cell.date for cell in cells if cell.state == "unsealed"} == {day.date for day in days}
        missing[owner] = [(day.project_id, day.date) for day in days]
    assert missing == {None: [(project, last.date)], (seller,): [], (buyer,): [(project, last.date)]}


def test_an_owner_who_comes_back_is_expected_to_have_the_days_of_both_times(
    engine: Engine, platform: Platform, moved: tuple[int, int, int]
) -> None:
    project, seller, _ = moved
    platform.sql("UPDATE projects SET organization_id = :to", to=seller)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.end + timedelta(hours=5))
    first, last, at = OCTOBER.first, OCTOBER.next().first, OCTOBER.end + timedelta(days=1)
    with transaction(engine) as connection:
        scope.limit(connection, (seller,))
        days = expected_days.missing_days(connection, first, last, at)
        sealed = completeness.read(connection, first, last, at)
        cells = coverage_matrix.matrix(connection, first, last, at)
    assert [(day.project_id, day.date) for day in days] == [(project, last.date)]
    assert [day.date for day in sealed if not day.is_complete] == [last.date]
    own = {first.date + timedelta(days=number) for number in range(20)} | {last.date}
    assert {cell.date for cell in cells} == own


def test_an_owner_that_the_platform_deleted_blocks_the_month_by_name(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    seller, buyer = platform.organization("starter", "Seller"), platform.organization("free", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    other = platform.project(buyer, created_at=OCTOBER.start)
    runs.run_now(configured, engine, "hourly", OCTOBER.start + timedelta(hours=1))
    count(engine, seller, project, 700, OCTOBER.start + timedelta(days=4))
    platform.sql("UPDATE projects SET organization_id = :to", to=buyer)
    platform.sql("DELETE FROM organizations WHERE id = :id", id=seller)
    after = OCTOBER.end + timedelta(minutes=5)
    why = f"project {project} belonged on 2026-10-31 to organization {seller}, which the platform has deleted"
    for job in ("daily", "monthly"):
        outcome = runs.run_now(configured, engine, job, after)
        assert (outcome.exit_code, [error["project_id"] for error in outcome.errors]) == (1, [project])
        assert why in outcome.errors[0]["error"]
    assert platform.rows("SELECT project_id FROM monthly_stats") == [(other,)]
    with transaction(engine) as connection:
        reasons = {
            one.project_id: one.reason for one in gaps.statuses(connection, OCTOBER, after, plans.load(None))
        }
        listed = billing.unbilled(connection, OCTOBER, after)
    assert why in str(reasons[project])
    assert [(row["project_id"], row["organization"]) for row in listed] == [
        (project, f"Organization {seller}")
    ]
    assert verify(engine).discrepancies == []
    platform.sql(
        "INSERT INTO organizations (id, name, tier, created_at) VALUES (:id, 'Seller', 'free', now())",
        id=seller,
    )
    runs.run_now(configured, engine, "monthly", after + timedelta(hours=1))
    bill = "SELECT organization_id, tier, mqtt_inbound::int FROM monthly_stats WHERE project_id = :id"
    assert platform.rows(bill, id=project) == [(seller, "starter", 700)], "its tier as it was read"
    assert verify(engine).discrepancies == []


def test_a_backfill_names_the_deleted_owner_of_a_day(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    """Days before the project's first open day, which nobody has sealed."""
    seller, buyer = platform.organization("starter", "Seller"), platform.organization("free", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    other = platform.project(buyer, created_at=OCTOBER.start)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    platform.sql("UPDATE projects SET organization_id = :to", to=buyer)
    runs.run_now(configured, engine, "hourly", OCTOBER.end + timedelta(hours=1))
    platform.sql("UPDATE project_stats SET open_from = :at", at=OCTOBER.end)
    platform.sql("DELETE FROM organizations WHERE id = :id", id=seller)
    arguments = {"from": "2026-10-30", "to": "2026-10-31"}
    outcome = runs.run_now(
        configured, engine, "backfill", OCTOBER.end + timedelta(hours=2), arguments=arguments
    )
    assert [error["error"].split(", which")[0] for error in outcome.errors] == [
        f"project {project} belonged on 2026-10-{day} to organization {seller}" for day in (30, 31)
    ]
    sealed = "SELECT project_id, count(*)::int FROM daily_stats GROUP BY 1"
    assert platform.rows(sealed) == [(other, 2)]


@pytest.fixture
def refunded(engine: Engine, platform: Platform) -> tuple[int, int, int, str]:
    """A project that is moved after October was billed; a refund and late rows about October; words."""
    seller, buyer = platform.organization("starter", "Seller"), platform.organization("starter", "Buyer")
    project = platform.project(seller, created_at=OCTOBER.start)
    count(engine, seller, project, 700, OCTOBER.start + timedelta(days=4))
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    close(engine, [project])
    platform.sql("UPDATE projects SET organization_id = :to", to=buyer)
    at = OCTOBER.end + timedelta(days=3)
    day = OCTOBER.start.date()
    with transaction(engine) as connection:
        history.read(connection, at)
        about = Adjustment(project, None, None, Decimal("-5.00"), day, "goodwill", "a@cli")
        words = adjustments.describe(
            connection, project, adjustments.post(connection, about, plans.load(None), at)
        )
        late_rows.post(connection, Day(day), [LateRows(project, "logs", 3)], at)
        alerts.refresh(connection, at, plans.load(None))
    return project, seller, buyer, words


def test_a_correction_that_another_owner_gets_names_both(
    configured: Settings, engine: Engine, platform: Platform, refunded: tuple[int, int, int, str]
) -> None:
    project, seller, buyer, words = refunded
    bills = (
        f"the bill of 2026-11, which goes to organization {buyer}; 2026-10 was that of organization {seller}"
    )
    assert words == f"-5.00 USD on {bills}"
    for month in (OCTOBER, OCTOBER.next()):
        answer = CliRunner().invoke(main.app, ["month", str(month), "--json"])
        (row,) = json.loads(answer.stdout)["other_owner"]
        assert (row["used_by"], row["billed_to"], row["corrections"]) == (seller, buyer, 2)
        with engine.connect() as connection:
            (one,) = other_owner.of_month(connection, month)
        assert str(one) == f"project {project}: 2 corrections (-5.00 USD) about 2026-10 on {bills}"
    close(engine, [project], OCTOBER.next())
    with engine.connect() as connection:
        assert [one.billed_to for one in other_owner.of_month(connection, OCTOBER)] == [buyer]
    for months, is_open in ((1, True), (2, False)):
        with transaction(engine) as connection:
            alerts.refresh(connection, OCTOBER.end + timedelta(days=31 * months), plans.load(None))
        query = "SELECT FROM alerts WHERE kind = 'correction_moved' AND resolved_at IS NULL"
        assert bool(platform.rows(query)) == is_open


def test_an_organization_reads_of_a_correction_no_other_owner(
    engine: Engine, platform: Platform, refunded: tuple[int, int, int, str]
) -> None:
    _, seller, buyer, _ = refunded
    for owner in (None, (buyer,), (seller,)):
        with transaction(engine) as connection:
            scope.limit(connection, owner)
            rows = connection.execute(text(incidents.LIST)).mappings().all()
            named = [titles.title(row) for row in rows if row["kind"] == "correction_moved"]
            assert bool(other_owner.of_month(connection, OCTOBER)) == (owner is None)
        if owner is None:
            (title,) = named
            says = f"-5.00 USD about 2026-10 is on the bill of 2026-11, which goes to organization {buyer}"
            assert f"{says} instead of organization {seller}" in title
        assert owner is None or all("another organization" in title for title in named)
