"""A month that does not fit in 64 bits is a failure of its own project: the others are rated and closed."""

from datetime import timedelta
from decimal import Decimal

from sqlalchemy import Engine

from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.pricing import plans
from metering.pricing.month_versions import in_month
from metering.proof.verify import verify
from metering.running import allowances, spend
from tests.support import runs
from tests.support.closed_months import OCTOBER, count
from tests.support.platform import Platform

HUGE = 6 * 10**18  # two of them are more than 2^63


def test_a_month_beyond_64_bits_stops_no_other_project(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("starter")
    huge, ordinary = (platform.project(organization, created_at=OCTOBER.start) for _ in range(2))
    count(engine, organization, ordinary, 1_500_000, OCTOBER.start)
    for day in (3, 4):
        at = OCTOBER.start + timedelta(days=day)
        platform.transfer(huge, "data", HUGE, at)
        runs.run_now(configured, engine, "daily", at + timedelta(days=1))
    late = OCTOBER.end - timedelta(minutes=1)
    with engine.connect() as connection:
        spent = {one.project_id: one.so_far for one in spend.by_project(connection, plans.load(None), late)}
        versions = in_month(plans.load(None), OCTOBER)
        assert allowances.projects(connection, versions, late, 0.0, behind=True, project_id=ordinary)
    assert spent[ordinary] == Decimal("30.00")
    outcome = runs.run_now(configured, engine, "monthly", OCTOBER.end)
    assert outcome.result["closed"] == 1
    assert platform.scalar("SELECT project_id FROM monthly_stats") == ordinary
    ((project, reason),) = platform.rows(
        "SELECT project_id, reason FROM fleetmeter_month_status('2026-10-01', :at) WHERE state <> 'closed'",
        at=OCTOBER.end,
    )
    assert project == huge
    assert "platform_db was blind" in reason
    with transaction(engine):
        assert verify(engine).checked
