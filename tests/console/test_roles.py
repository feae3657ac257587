"""Every action asks for its role anew, where it is done; and says in the audit log who changed what."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import FunctionType
from typing import Any

import pytest
from sqlalchemy import Engine
from streamlit.testing.v1 import AppTest

from console import actions, billing_actions
from console.access import revocation
from console.pages import TITLES
from metering.catalogue.periods import Month
from metering.config.settings import Settings
from metering.probes import access
from tests.support.drills import later
from tests.support.people import claims
from tests.support.platform import Platform
from tests.support.two_tenants import ORGANIZATION, PROJECTS, TwoTenants

Open = Callable[..., AppTest]
AT = datetime.now(UTC)
PEOPLE = {"viewer": "vera@fleet.example", "operator": "otto@fleet.example", "admin": "ada@fleet.example"}
LISTS = {f"FLEETMETER_{role.upper()}S": address for role, address in PEOPLE.items()}
LISTS["FLEETMETER_ORGANIZATION_VIEWERS"] = "bob@customer.example=1"

# Every action: what it is done with, and the least role it takes.
ACTIONS: dict[str, tuple[str, Callable[[Platform], dict[str, Any]]]] = {
    "ask": ("operator", lambda _: {"job": "hourly", "period": "2026-11-24T10", "at": AT}),
    "cancel": ("operator", lambda platform: {"run": run(platform, "queued")}),
    "retry": ("operator", lambda platform: {"run": run(platform, "dead")}),
    "discard": ("admin", lambda platform: {"runs": [run(platform, "dead")]}),
    "acknowledge": ("operator", lambda platform: {"alert_ids": [alert(platform)], "note": "seen"}),
    "accept_gap": ("admin", lambda platform: {"gap": gap(platform), "reason": "known", "at": AT}),
    "adjust": ("admin", lambda _: correction()),
    "create_token": ("admin", lambda _: {"name": "portal", "role": "viewer", "organization": None}
        | {"days": 9, "at": AT}),
    "revoke_token": ("admin", lambda platform: {"token": token(platform), "at": AT}),
    "set_thresholds": ("operator", lambda _: {"organization": ORGANIZATION, "meter": None, "percents": [70]}),
    "set_budget": ("operator", lambda _: {"whose": "organization", "identity": ORGANIZATION}
        | {"amount": Decimal("100.00"), "currency": "USD", "at": AT}),
    "ask_close": ("admin", lambda platform: {"at": overdue(platform)}),
    "decide": ("admin", lambda platform: {"approval": approval(platform), "approve": False}
        | {"note": "no", "at": AT}),
    "pause": ("operator", lambda _: {"job": "hourly", "until": AT + timedelta(hours=1)}
        | {"reason": "S3", "at": AT}),
    "resume": ("operator", lambda platform: {"job": paused(platform), "at": AT}),
    "reverse": ("admin", lambda platform: {"adjustment": adjustment(platform), "project_id": PROJECTS[0]}
        | {"reason": "wrong", "at": AT}),
}  # fmt: skip


def run(platform: Platform, state: str, job: str = "backfill") -> int:
    platform.sql(
        """INSERT INTO job_runs (job, period, at, trigger, requested_by, state)
        VALUES (:job, '2026-10-01..2026-10-02', now(), 'console', 'somebody', :state)""",
        state=state,
        job=job,
    )
    return int(platform.scalar("SELECT max(id) FROM job_runs"))


def alert(platform: Platform) -> int:
    return int(platform.scalar("SELECT id FROM alerts WHERE acknowledged_by IS NOT NULL LIMIT 1"))


def gap(platform: Platform) -> int:
    return int(platform.scalar("SELECT min(id) FROM gaps"))


def approval(platform: Platform) -> int:
    platform.sql(
        """INSERT INTO approvals (action, subject, asked_by, asked_at)
        VALUES ('close', '2026-10', 'cat@fleet.example', now())"""
    )
    return int(platform.scalar("SELECT max(id) FROM approvals"))


def token(platform: Platform) -> int:
    platform.sql(
        """INSERT INTO tokens (name, hash, role, created_at, created_by)
        VALUES ('portal', repeat('0', 64), 'viewer', now(), 'cat@fleet.example')"""
    )
    return int(platform.scalar("SELECT max(id) FROM tokens"))


def paused(platform: Platform) -> str:
    platform.sql(
        """INSERT INTO job_pauses (job, until, reason, paused_by, paused_at)
        VALUES ('hourly', :at + interval '1 hour', 'S3', 'cat@fleet.example', :at)""",
        at=AT,
    )
    return "hourly"


def overdue(platform: Platform) -> datetime:
    """Now, with a project whose last month is over and open."""
    project = platform.project(ORGANIZATION, created_at=AT - timedelta(days=40))
    platform.sql(
        "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, :at, :at)",
        id=project,
        at=AT - timedelta(days=40),
    )
    return AT


def adjustment(platform: Platform) -> int:
    return int(platform.scalar("SELECT id FROM adjustments WHERE project_id = :id", id=PROJECTS[0]))


def correction() -> dict[str, Any]:
    what = {"project_id": PROJECTS[0], "meter": None, "quantity": None, "amount": Decimal("-12.5")}
    return what | {"about": AT.date(), "reason": "a broken robot", "at": AT}


def act(name: str, arguments: dict) -> None:  # type: ignore[type-arg] # nothing but builtins is in its reach
    import streamlit as st

    from console import actions, billing_actions
    from metering.errors import FleetmeterError

    try:
        getattr(billing_actions if hasattr(billing_actions, name) else actions, name)(**arguments)
        st.success("done")
    except FleetmeterError as error:
        st.error(str(error))


def acting(name: str, arguments: dict[str, Any], who: dict[str, Any]) -> AppTest:
    page = AppTest.from_function(act, args=(name, arguments), default_timeout=120)
    page.user = who
    return page.run()


def everything(platform: Platform) -> list[Any]:
    """What actions could have changed."""
    tables = (
        "job_runs",
        "job_pauses",
        "tokens",
        "budgets",
        "alert_thresholds",
        "approvals",
        "alerts",
        "gaps",
        "adjustments",
        "audit_log",
    )
    return [platform.rows(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables]


@pytest.fixture
def platform(engine: Engine, signing_in: Callable[..., None], rivals: TwoTenants) -> Platform:
    signing_in(**LISTS)
    return Platform(engine)


def test_every_action_is_here() -> None:
    public = {
        name
        for module in (actions, billing_actions)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if isinstance(function, FunctionType) and function.__module__ == module.__name__ and name[0] != "_"
    }
    assert public - {"needed"} == set(ACTIONS)


@pytest.mark.parametrize("everybody", [False, later(True)])
@pytest.mark.parametrize("name", list(ACTIONS))
def test_an_action_takes_its_role_and_is_logged_with_before_and_after(
    name: str, everybody: bool, platform: Platform, open_page: Open
) -> None:
    least, make = ACTIONS[name]
    arguments = make(platform)
    before = everything(platform)
    lesser = list(PEOPLE)[: list(PEOPLE).index(least)]
    others = ("nobody", "stranger", "unverified", "expired", "customer", *lesser)
    for who in others if everybody else ("customer", lesser[-1]):
        assert acting(name, arguments, claims_of(who)).error, who
        assert everything(platform) == before, who
    page = acting(name, arguments, claims_of(least))
    assert page.success, page.error
    last = platform.rows("SELECT actor, before, after FROM audit_log ORDER BY id DESC LIMIT 1")
    actor, was, became = last[0]
    assert actor == PEOPLE[least]
    assert was != became
    assert (became is None) == (name in ("resume", "revoke_token"))
    new = ("ask", "adjust", "ask_close", "pause", "create_token", "set_budget", "set_thresholds")
    assert (was is None) == (name in new)  # nothing was there before


def claims_of(who: str) -> dict[str, Any]:
    ada = PEOPLE["admin"]
    return {
        "nobody": {},
        "stranger": claims(email="eve@fleet.example"),
        "unverified": claims(email=ada, email_verified=False),
        "expired": claims(email=ada, exp=(AT - timedelta(minutes=1)).timestamp()),
        "customer": claims(email="bob@customer.example"),
    }.get(who) or claims(email=PEOPLE.get(who, ""))


@pytest.mark.parametrize(
    ("name", "least"), [("ask", "admin"), ("retry", "admin"), ("preview", "operator"), ("cancel", "operator")]
)
def test_closing_a_month_takes_an_admin_its_trial_and_its_stop_do_not(
    name: str, least: str, platform: Platform, open_page: Open
) -> None:
    request = {"job": "monthly", "period": "2026-10", "at": AT}
    if name in ("retry", "cancel"):
        arguments: dict[str, Any] = {"run": run(platform, "dead" if name == "retry" else "queued", "monthly")}
    else:
        arguments = request | {"dry_run": name == "preview"}
    action = "ask" if name == "preview" else name
    assert bool(acting(action, arguments, claims_of("operator")).success) == (least == "operator")
    assert acting(action, arguments, claims_of("admin")).success


@pytest.mark.parametrize(
    ("who", "offered"),
    [
        ("viewer", set()),
        ("operator", {"backfill", "preview-backfill", "run-daily", "preview-monthly"}),
        ("admin", {"backfill", "run-monthly", "discard"}),
    ],
)
def test_a_page_offers_what_its_visitor_may_do(
    who: str, offered: set[str], platform: Platform, open_page: Open
) -> None:
    run(platform, "dead")
    platform.sql("UPDATE alerts SET acknowledged_by = NULL")
    keys = {
        str(button.key)
        for name in ("snapshots", "jobs", "alerts", "billing")
        for button in open_page(name, claims_of(who)).button
    }
    harmless = {"refresh", "renew-30", "sign-out", "matrix-first", "matrix-next"}
    assert offered <= keys
    assert who != "viewer" or keys <= harmless
    assert who == "admin" or not keys & {"run-monthly", "discard", "close", "adjust-post"}


def test_an_admin_may_post_an_adjustment_and_an_operator_sees_no_form(
    platform: Platform, open_page: Open
) -> None:
    month = str(Month.of(AT))
    forms = {
        who: bool(
            [b for b in open_page("billing", claims_of(who), month=month).button if b.key == "adjust-post"]
        )
        for who in PEOPLE
    }
    assert forms == {"viewer": False, "operator": False, "admin": True}


def test_who_is_not_signed_in_is_asked_to_and_sees_nothing(platform: Platform, open_page: Open) -> None:
    for name in TITLES:
        page = open_page(name)
        assert [button.key for button in page.button] == ["sign-in"]
        assert not page.dataframe
        assert not page.metric


def test_who_has_no_role_reads_one_sentence_that_says_whom_to_ask(
    platform: Platform, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETMETER_ACCESS_CONTACT", "the fleet desk, desk 4")
    page = open_page("overview", claims_of("stranger"))
    assert len(page.warning) == 1
    assert "ask the fleet desk, desk 4 for one" in page.warning[0].value
    assert [button.key for button in page.button] == ["sign-out"]
    assert not page.dataframe


def test_a_role_taken_from_the_settings_is_gone_at_the_next_rerun(
    platform: Platform, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page("overview", claims_of("viewer"))
    assert page.title[0].value == "Overview"
    monkeypatch.setenv("FLEETMETER_VIEWERS", "somebody@fleet.example")
    page.run()
    assert "has no role" in page.warning[0].value
    assert not page.metric


TOKEN = "t" * 32


@pytest.mark.parametrize(
    ("sign_in", "token", "authorization", "open_"),
    [
        (False, "", "", True),
        (True, "", "", False),
        (True, "", "Bearer ", False),
        (True, TOKEN, "", False),
        (True, TOKEN, f"Bearer {TOKEN}", True),
        (True, TOKEN, f"bearer  {TOKEN} ", True),
        (True, TOKEN, f"Basic {TOKEN}", False),
        (True, TOKEN, f"Bearer {TOKEN}x", False),
        (False, TOKEN, "", False),
        (True, TOKEN, "Bearer \u00fc", False),
    ],
)
def test_metrics_take_a_token_where_people_sign_in(
    signing_in: Callable[..., None], sign_in: bool, token: str, authorization: str, open_: bool,
    monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    if sign_in:
        signing_in(**LISTS)
    monkeypatch.setenv("FLEETMETER_METRICS_TOKEN", token)
    assert access.trusted(authorization, Settings()) is open_


def test_signed_out_on_one_console_is_signed_out_on_every_other(
    platform: Platform, open_page: Callable[..., AppTest]
) -> None:
    who = claims(email=PEOPLE["operator"])
    page = open_page("overview", who)
    assert not page.warning
    platform.sql("INSERT INTO sign_outs (mark, at) VALUES (:mark, now())", mark=revocation.mark_of(who))
    refused = open_page("overview", who)
    assert "You have signed out" in " ".join(element.value for element in refused.main.markdown)
