"""Laws of past periods: `verify` names what would have billed somebody for what was not known then."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine

from metering.catalogue import history
from metering.db.transactions import transaction
from metering.proof.verify import verify
from tests.support.closed_months import OCTOBER, close, count
from tests.support.platform import Platform

DAYS = "a day has the owner and tier last read before its end"
BILLS = "a bill goes to the owner at the month's end, by its tier"
OWNERS = "a bill names the owners of its days"
LISTED = "usage without a bill is listed"
METERED = "a month in which a project was metered is listed"
HISTORY = "history is billed on request only"


@pytest.fixture
def organization(engine: Engine, platform: Platform) -> int:
    """The owner of a project with a closed October, read in October."""
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    with transaction(engine) as connection:
        history.read(connection, OCTOBER.start + timedelta(hours=1))
    count(engine, organization, project, 70)
    close(engine, [project])
    return organization


def broken(engine: Engine) -> set[tuple[str, str]]:
    """Return the laws that do not hold, each with what is wrong."""
    return {(one.law, one.meter) for one in verify(engine).discrepancies}


def test_a_tier_that_was_read_before_the_end_decides(
    engine: Engine, platform: Platform, organization: int
) -> None:
    assert broken(engine) == set()
    at = OCTOBER.end - timedelta(hours=5)
    platform.sql("INSERT INTO organization_tiers VALUES (:id, :at, 'pro')", id=organization, at=at)
    assert broken(engine) == {(DAYS, "tier"), (BILLS, "tier")}


def test_an_owner_that_was_read_at_the_end_does_not_decide(
    engine: Engine, platform: Platform, organization: int
) -> None:
    other = platform.organization("starter", "Other")
    insert = "INSERT INTO project_owners SELECT id, :at, :other FROM projects"
    platform.sql(insert, at=OCTOBER.end, other=other)
    assert broken(engine) == set()
    platform.sql(insert, at=OCTOBER.end - timedelta(microseconds=1), other=other)
    assert broken(engine) == {(DAYS, "organization_id"), (BILLS, "organization_id")}


def test_a_bill_that_does_not_name_an_owner_of_its_days_is_found(
    engine: Engine, platform: Platform, organization: int
) -> None:
    other = platform.organization("starter", "Other")
    platform.sql("ALTER TABLE daily_stats DISABLE TRIGGER USER")
    platform.sql("ALTER TABLE daily_stats_2026_10 DISABLE TRIGGER USER")
    platform.sql("UPDATE daily_stats SET organization_id = :other WHERE day = 3", other=other)
    assert (OWNERS, "owners") in broken(engine)


def test_usage_that_the_status_of_its_month_leaves_out_is_found(
    engine: Engine, platform: Platform, organization: int
) -> None:
    count(engine, organization, platform.scalar("SELECT id FROM projects"), 5, OCTOBER.end)
    assert broken(engine) == set()
    platform.sql("""
        CREATE OR REPLACE FUNCTION fleetmeter_month_status(month date, at timestamptz DEFAULT now(),
            only_projects bigint[] DEFAULT NULL)
        RETURNS TABLE (project_id bigint, organization_id bigint, state text, reason text,
            closed_at timestamptz, closed_by text, days_present smallint, days_expected smallint,
            total_charge numeric, currency text, owners jsonb, later_readings jsonb)
        LANGUAGE plpgsql STABLE AS $body$ BEGIN RETURN; END $body$""")
    assert broken(engine) == {
        (LISTED, "usage without a bill"),
        (METERED, "a month in which it was metered"),
    }


def test_a_bill_of_history_that_nobody_asked_for_is_found(
    engine: Engine, platform: Platform, organization: int
) -> None:
    platform.installed(OCTOBER.end)
    assert broken(engine) == {(HISTORY, "bill")}
    platform.sql("""
        INSERT INTO history_to_bill SELECT id, '2026-10-01', 'a', now() FROM projects""")
    assert broken(engine) == set()


def test_a_month_since_the_installation_that_is_nowhere_is_found(
    engine: Engine, platform: Platform, organization: int
) -> None:
    platform.installed(OCTOBER.end - timedelta(hours=5))
    project = platform.project(organization, created_at=OCTOBER.start)
    insert = "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)"
    platform.sql(insert, id=project, at=OCTOBER.end)
    assert broken(engine) == {(METERED, "a month in which it was metered")}
    platform.sql(
        "UPDATE project_stats SET open_from = :at WHERE project_id = :id", id=project, at=OCTOBER.start
    )
    assert broken(engine) == set(), "it is open"
