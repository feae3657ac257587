"""Gaps: accepted with a reason, and what they put at risk."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine

from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import UnknownGap
from metering.months import blockers, gaps
from metering.months.close import CloseResult, close_month
from metering.pricing import plans
from tests.support import runs
from tests.support.closed_months import MID_OCTOBER, OCTOBER, count
from tests.support.gaps import open_gap
from tests.support.platform import Platform

TWO_DAYS = timedelta(days=2)


def blind(engine: Engine, platform: Platform) -> int:
    """A starter project with 104,000 messages a day, blind from 15 to 17 October."""
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    for day in OCTOBER.days():
        if not 15 <= day.date.day <= 17:
            count(engine, organization, project, 104_000, day.start)
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", MID_OCTOBER, MID_OCTOBER + TWO_DAYS, "session lost")
    return project


def close(engine: Engine, project: int) -> CloseResult:
    with transaction(engine) as connection:
        return close_month(connection, OCTOBER, [project], plans.load(None), OCTOBER.end, "a@cli")


def state(engine: Engine) -> tuple[str, str]:
    with transaction(engine) as connection:
        (status,) = gaps.statuses(connection, OCTOBER, OCTOBER.end, plans.load(None))
        return status.state, status.reason or f"by {status.closed_by} at {status.closed_at}"


def test_an_accepted_gap_lets_the_month_close_and_says_who_and_why(
    engine: Engine, platform: Platform
) -> None:
    project = blind(engine, platform)
    assert close(engine, project).closed == 0
    assert state(engine)[0] == "blocked"
    assert "mqtt was blind" in state(engine)[1]
    gap = platform.scalar("SELECT id FROM gaps")
    with transaction(engine) as connection:
        gaps.accept(connection, gap, "broker replaced", "a@cli", OCTOBER.end)
    assert platform.rows(
        "SELECT actor, subject, reason, before->>'accepted_by', after->>'accepted_by' FROM audit_log"
        " WHERE action = 'accept-gap'"
    ) == [("a@cli", f"gap {gap}", "broker replaced", None, "a@cli")]
    assert close(engine, project).closed == 1
    assert state(engine)[0] == "closed"
    assert state(engine)[1].startswith("by a@cli at ")


def test_the_charge_at_risk_comes_from_the_neighbouring_days(engine: Engine, platform: Platform) -> None:
    project = blind(engine, platform)
    close(engine, project)
    with engine.connect() as connection:
        risk = gaps.at_risk(connection, project, MID_OCTOBER, MID_OCTOBER + TWO_DAYS, plans.load(None))
    assert risk.usage["mqtt_inbound"] == 208_000
    # 2,912,000 in 28 days are 2 started packages too many; 208,000 more start a third.
    assert risk.charge == Decimal("1.00")
    assert "estimate" in str(risk)


def test_the_month_of_a_project_that_was_never_measured_has_no_estimate(
    engine: Engine, platform: Platform
) -> None:
    project = platform.project(created_at=OCTOBER.start)
    with engine.connect() as connection:
        risk = gaps.at_risk(connection, project, MID_OCTOBER, MID_OCTOBER + TWO_DAYS, plans.load(None))
    assert risk.charge is None


def test_what_blocks_nothing_cannot_be_accepted(engine: Engine, platform: Platform) -> None:
    blind(engine, platform)
    gap = platform.scalar("SELECT id FROM gaps")
    with transaction(engine) as connection:
        with pytest.raises(UnknownGap, match="needs a reason"):
            gaps.accept(connection, gap, " ", "a@cli", OCTOBER.end)
        with pytest.raises(UnknownGap, match="no gap 999999"):
            gaps.accept(connection, 999_999, "why", "a@cli", OCTOBER.end)
        gaps.accept(connection, gap, "why", "a@cli", OCTOBER.end)
        with pytest.raises(UnknownGap, match="already accepted by a@cli"):
            gaps.accept(connection, gap, "why", "b@cli", OCTOBER.end)


def test_a_blocked_close_names_what_is_at_risk_as_an_estimate(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    project = blind(engine, platform)
    outcome = runs.run_now(configured, engine, "monthly", datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    assert outcome.result["closed"] == 0
    [sentence] = outcome.result["charge_at_risk"]
    assert sentence.startswith(f"project {project}: about ")
    assert "estimate" in sentence


def test_how_a_month_stands_is_one_query(engine: Engine, platform: Platform) -> None:
    """By SQL alone, and the same as what blocks the close."""
    project = blind(engine, platform)
    odd = platform.project(platform.organization("platinum"), created_at=OCTOBER.start)
    count(engine, platform.scalar("SELECT max(id) FROM organizations"), odd, 5)
    later = platform.project(created_at=OCTOBER.end)
    ask = "SELECT project_id, state, reason, closed_by FROM fleetmeter_month_status('2026-10-01', :at)"
    assert [row.state for row in platform.rows(ask, at=MID_OCTOBER)] == ["open", "open"]
    close(engine, project)
    with transaction(engine) as connection:
        close_month(connection, OCTOBER, [odd], plans.load(None), OCTOBER.end, "a@cli")
        blocked = blockers.blocked(connection, OCTOBER, [project, odd, later])
        statuses = {
            one.project_id: one for one in gaps.statuses(connection, OCTOBER, OCTOBER.end, plans.load(None))
        }
    rows = {row.project_id: row for row in platform.rows(ask, at=OCTOBER.end)}
    assert set(blocked) == {number for number, row in rows.items() if row.state == "blocked"}
    assert "mqtt was blind from 2026-10-15" in rows[project].reason
    assert statuses[odd].state == "blocked"
    assert "no tier 'platinum'" in (statuses[odd].reason or "")
    assert later not in rows
    platform.sql("UPDATE gaps SET covered_at = now()")
    close(engine, project)
    closed = {row.project_id: row for row in platform.rows(ask, at=OCTOBER.end)}[project]
    assert (closed.state, closed.reason, closed.closed_by) == ("closed", None, "a@cli")


def test_the_risk_of_a_project_without_a_price_is_unknown(engine: Engine, platform: Platform) -> None:
    project = blind(engine, platform)
    close(engine, project)
    priceless = plans.load(None).model_copy(
        update={
            "versions": (
                plans.PlanVersion.model_validate(
                    {"effective": "2026-01-01", "currency": "EUR", "tiers": {"gold": {}}}
                ),
            )
        }
    )
    with engine.connect() as connection:
        (sentence,) = gaps.at_risk_in(connection, OCTOBER, [project], priceless)
    assert "no price" in sentence
