"""Gaps: accepted with a reason, and what they put at risk."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Engine
from the_months import MID_OCTOBER, OCTOBER, count
from the_platform import Platform

from jobs import execute
from metering import closing, coverage, database, gaps, plans
from metering.errors import UnknownGap
from metering.settings import Settings

TWO_DAYS = timedelta(days=2)


def blind(engine: Engine, platform: Platform) -> int:
    """A starter project with 104,000 messages a day, blind from 15 to 17 October."""
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    for day in OCTOBER.days():
        if not 15 <= day.date.day <= 17:
            count(engine, organization, project, 104_000, day.start)
    with database.transaction(engine) as connection:
        coverage.open_gap(connection, "mqtt", MID_OCTOBER, MID_OCTOBER + TWO_DAYS, "session lost")
    return project


def close(engine: Engine, project: int) -> closing.Closed:
    with database.transaction(engine) as connection:
        return closing.close_month(connection, OCTOBER, [project], plans.load(None), OCTOBER.end, "a@cli")


def state(engine: Engine) -> tuple[str, str]:
    with database.transaction(engine) as connection:
        (found,) = gaps.statuses(connection, OCTOBER, OCTOBER.end)
        return found.state, found.detail


def test_an_accepted_gap_lets_the_month_close_and_says_who_and_why(
    engine: Engine, platform: Platform
) -> None:
    project = blind(engine, platform)
    assert close(engine, project).closed == 0
    assert state(engine)[0] == "blocked"
    assert "mqtt was blind" in state(engine)[1]
    gap = platform.scalar("SELECT id FROM gaps")
    with database.transaction(engine) as connection:
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
    with database.transaction(engine) as connection:
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
    done = execute.run_now(configured, engine, "monthly", datetime(2026, 11, 24, 10, 30, tzinfo=UTC))
    assert done.result["closed"] == 0
    [sentence] = done.result["charge_at_risk"]
    assert sentence.startswith(f"project {project}: about ")
    assert "estimate" in sentence
