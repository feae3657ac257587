"""What FLEETMETER_APPROVAL names is done once another person has agreed, and once only."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from decimal import Decimal

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from metering.approvals import approvals, corrections
from metering.approvals.approvals import Approval
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused, ApprovalRefused, FleetmeterError, NeedsApproval, UnknownGap
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support import runs
from tests.support.closed_months import MID_OCTOBER, OCTOBER, count
from tests.support.gaps import open_gap
from tests.support.platform import Platform, hours

AT = OCTOBER.end + hours(30)
ANN, BOB = "ann@fleet.example", "bob@fleet.example"


@pytest.fixture
def two_people(configured: Settings) -> Settings:
    sign_in = {
        "oidc_metadata_url": "https://login.example/.well-known/openid-configuration",
        "oidc_client_id": "console",
        "oidc_client_secret": SecretStr("hush-hush"),
        "oidc_redirect_uri": "https://fleet.example/oauth2callback",
        "oidc_cookie_secret": SecretStr("c" * 32),
        "admins": (ANN, BOB),
    }
    return configured.model_copy(update={**sign_in, "approval": ("adjustment", "gap", "close")})


def credit(project: int, amount: str = "-12.50", actor: str = ANN) -> Adjustment:
    return Adjustment(project, None, None, Decimal(amount), date(2026, 11, 1), "goodwill", actor)


def request_approval(engine: Engine, ask: Callable[..., int], *arguments: object) -> int:
    with transaction(engine) as connection:
        return ask(connection, *arguments)


def decide(engine: Engine, approval: int, actor: str, approve: bool = True) -> Approval:
    with transaction(engine) as connection:
        decided = approvals.decide(connection, approval, approve, actor, AT, "seen")
        if approve:
            corrections.carry_out(connection, decided, plans.load(None), AT)
        return decided


def test_an_adjustment_is_posted_when_another_person_approves_it(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    approval = request_approval(engine, corrections.ask_adjustment, credit(project), plans.load(None), AT)
    assert platform.scalar("SELECT count(*) FROM adjustments") == 0
    decide(engine, approval, BOB)
    assert platform.rows("SELECT project_id, amount, actor, reason FROM adjustments") == [
        (project, Decimal("-12.50"), ANN, "goodwill")
    ]
    assert platform.rows("SELECT actor, action FROM audit_log WHERE action <> 'install' ORDER BY id") == [
        (ANN, "ask-approval"),
        (BOB, "approve"),
        (ANN, "adjust"),
    ]
    assert verify(engine).sound


def test_whoever_asked_cannot_decide_and_the_database_says_so_too(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    approval = request_approval(engine, corrections.ask_adjustment, credit(project), plans.load(None), AT)
    for approve in (True, False):
        with pytest.raises(ApprovalRefused, match="another person must"):
            decide(engine, approval, ANN, approve)
    with pytest.raises(IntegrityError):
        platform.sql("UPDATE approvals SET state = 'approved', decided_by = asked_by, decided_at = now()")
    assert platform.scalar("SELECT state FROM approvals") == "waiting"


def test_what_is_refused_is_not_done_and_is_decided_once(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    approval = request_approval(engine, corrections.ask_adjustment, credit(project), plans.load(None), AT)
    decide(engine, approval, BOB, approve=False)
    with pytest.raises(ApprovalRefused, match="already refused by bob"):
        decide(engine, approval, BOB)
    assert platform.scalar("SELECT count(*) FROM adjustments") == 0
    with pytest.raises(ApprovalRefused, match="no approval 999"):
        decide(engine, 999, BOB)


def test_two_who_approve_at_once_post_one_adjustment(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    approval = request_approval(engine, corrections.ask_adjustment, credit(project), plans.load(None), AT)

    def press(actor: str) -> bool:
        try:
            decide(engine, approval, actor)
        except ApprovalRefused:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        pressed = list(pool.map(press, [BOB, "cat@fleet.example"] * 2))
    assert pressed.count(True) == 1
    assert platform.scalar("SELECT count(*) FROM adjustments") == 1


def test_nobody_is_asked_about_what_would_be_refused(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    with pytest.raises(AdjustmentRefused):
        request_approval(engine, corrections.ask_adjustment, credit(project, "-0.001"), plans.load(None), AT)
    with pytest.raises(UnknownGap):
        request_approval(engine, corrections.ask_gap, 4711, "known", ANN, AT)
    assert platform.scalar("SELECT count(*) FROM approvals") == 0


def test_the_same_question_waits_once(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    numbers = {
        request_approval(
            engine, corrections.ask_adjustment, credit(project, actor=actor), plans.load(None), AT
        )
        for actor in (ANN, ANN, BOB)
    }
    assert len(numbers) == 1
    with pytest.raises(ApprovalRefused):
        decide(engine, numbers.pop(), ANN)


def test_a_reversal_waits_as_well(engine: Engine, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"))
    decide(
        engine,
        request_approval(engine, corrections.ask_adjustment, credit(project), plans.load(None), AT),
        BOB,
    )
    adjustment_id = platform.scalar("SELECT id FROM adjustments")
    reversal = request_approval(
        engine, corrections.ask_reversal, project, adjustment_id, "wrong", BOB, plans.load(None), AT
    )
    decide(engine, reversal, ANN)
    assert platform.scalar("SELECT sum(amount) FROM adjustments") == 0


def test_a_gap_is_accepted_when_another_person_approves_it(engine: Engine, platform: Platform) -> None:
    platform.project(platform.organization("starter"))
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", MID_OCTOBER, MID_OCTOBER + hours(2), "session lost")
    gap = platform.scalar("SELECT id FROM gaps")
    approval = request_approval(engine, corrections.ask_gap, gap, "broker replaced", ANN, AT)
    assert platform.scalar("SELECT accepted_by FROM gaps") is None
    decide(engine, approval, BOB)
    assert platform.rows("SELECT accepted_by, accepted_reason FROM gaps") == [(ANN, "broker replaced")]


def test_a_month_closes_once_its_close_is_approved(
    two_people: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    count(engine, organization, project, 5, MID_OCTOBER)
    blocked = runs.run_now(two_people, engine, "monthly", AT)
    assert blocked.exit_code == 1
    assert "waits for the approval of a second person" in blocked.result["blocked"]["2026-10"]
    assert platform.scalar("SELECT count(*) FROM approvals") == 0  # a name at a terminal asks nobody
    request_approval(engine, approvals.ask, "close", "2026-10", approvals.SCHEDULE, AT)
    taken_over = request_approval(engine, approvals.ask, "close", "2026-10", ANN, AT)
    with pytest.raises(ApprovalRefused):
        decide(engine, taken_over, ANN)
    assert runs.run_now(two_people, engine, "monthly", AT).result["closed"] == 0
    decide(engine, taken_over, BOB)
    assert runs.run_now(two_people, engine, "monthly", AT).result["closed"] == 1
    assert verify(engine).sound


def test_a_preview_of_the_close_needs_no_approval(
    two_people: Settings, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    count(engine, organization, project, 5, MID_OCTOBER)
    assert runs.run_now(two_people, engine, "monthly", AT, dry_run=True).result["closed"] == 1
    assert platform.scalar("SELECT count(*) FROM monthly_stats") == 0


def test_who_cannot_ask_is_refused_with_the_setting(two_people: Settings) -> None:
    with pytest.raises(NeedsApproval, match="FLEETMETER_APPROVAL"):
        approvals.refuse(two_people, "adjustment")
    approvals.refuse(two_people.model_copy(update={"approval": ("gap",)}), "adjustment")


def test_the_command_line_posts_nothing_that_takes_a_second_person(
    two_people: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fleetmeter import environment
    from fleetmeter.cli import corrections as command

    project = platform.project(platform.organization("starter"))
    monkeypatch.setattr(environment, "load_or_start", lambda: two_people)
    with pytest.raises(FleetmeterError, match="second person"):
        command.adjust(project, "goodwill", "2026-11-01", amount="-1.00")
    with pytest.raises(FleetmeterError, match="second person"):
        command.accept_gap(1, "known")
    assert platform.scalar("SELECT count(*) FROM adjustments") == 0


def test_an_organization_sees_no_approval(engine: Engine, platform: Platform) -> None:
    organization = platform.organization("starter")
    request_approval(
        engine, corrections.ask_adjustment, credit(platform.project(organization)), plans.load(None), AT
    )
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('fleetmeter.organizations', '{1}', true)"))
        assert connection.scalar(text("SELECT count(*) FROM approvals")) == 0
