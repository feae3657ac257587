"""Signing in, in a real browser against a real provider: the way in, what one may, the way out."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets import Origin, Subprotocol
from websockets.sync.client import connect

from tests.support.browser import wait_until_idle
from tests.support.browser_site import press, visit
from tests.support.fleet import answer
from tests.support.oidc_console import OPERATORS, TOKEN, Guarded
from tests.support.oidc_provider import SECRET
from tests.support.two_tenants import PROJECTS
from tests.support.two_tenants import SECRET as FOREIGN
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


@pytest.fixture(autouse=True)
def behaving(guarded: Guarded) -> Iterator[None]:
    """The provider behaves again after each test."""
    yield
    guarded.provider.reset()


def sign_in(page: Page, guarded: Guarded, account: str, path: str = "") -> None:
    """Through the provider's form, until the console has drawn what it shows then."""
    page.goto(f"{guarded.address}/{path}")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Account").fill(account)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{guarded.address}/**")
    wait_until_idle(page)


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()


def still_outside(page: Page) -> None:
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_role("heading", name="Overview")).to_have_count(0)


def test_a_visitor_sees_the_way_in_and_nothing_else(page: Page, guarded: Guarded) -> None:
    for path in ("", "billing", "project?project=1", "jobs"):
        visit(page, guarded, path)
        still_outside(page)
        assert page.get_by_test_id("stSidebarNav").count() == 0
        assert page.get_by_test_id("stMetric").count() == 0


@pytest.mark.drill
def test_a_viewer_comes_in_reads_and_is_offered_nothing_to_do(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "vera")
    heading(page, "Overview")
    expect(page.get_by_text("vera@fleet.example · viewer")).to_be_visible()
    visit(page, guarded, "jobs")
    heading(page, "Jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    visit(page, guarded, "snapshots")
    expect(page.get_by_role("button", name=re.compile("Backfill"))).to_have_count(0)


def test_an_operator_runs_a_job_under_their_own_name_and_closes_no_month(
    page: Page, guarded: Guarded
) -> None:
    sign_in(page, guarded, "otto")
    visit(page, guarded, "jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(6)  # every job but the close
    page.get_by_role("button", name="Run now").first.click()
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_text("triggered by otto@fleet.example").first).to_be_visible()
    newest = "SELECT actor, action, before, after->>'state' FROM audit_log ORDER BY id DESC LIMIT 1"
    assert guarded.rows(newest) == [("otto@fleet.example", "request", None, "queued")]
    assert guarded.rows("SELECT requested_by FROM job_runs ORDER BY id DESC LIMIT 1") == [
        ("otto@fleet.example",)
    ]


def test_a_role_taken_while_the_page_is_open_does_nothing_any_more(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "olga")
    visit(page, guarded, "jobs")
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("button", name="Run it")).to_be_visible()
    before = guarded.rows("SELECT count(*), max(id) FROM audit_log")
    (guarded.log.parent / ".env").write_text(OPERATORS.replace("olga", "another"))
    try:
        page.get_by_role("button", name="Run it").click()
        expect(page.get_by_text("olga@fleet.example has no role in this console").first).to_be_visible()
    finally:
        (guarded.log.parent / ".env").write_text(OPERATORS)
    assert guarded.rows("SELECT count(*), max(id) FROM audit_log") == before
    assert guarded.rows("SELECT count(*) FROM job_runs WHERE requested_by LIKE 'olga%'") == [(0,)]


@pytest.mark.drill
def test_an_admin_may_close_months_and_post_adjustments(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "ada")
    visit(page, guarded, "jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(7)
    visit(page, guarded, "alerts")
    expect(page.get_by_text("ada@fleet.example · admin")).to_be_visible()


@pytest.mark.drill
def test_who_signs_in_comes_to_the_page_they_asked_for(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "ada", f"billing?month={guarded.rivals.closed}")
    heading(page, "Billing")
    assert page.url == f"{guarded.address}/billing?month={guarded.rivals.closed}"
    sign_out = page.get_by_role("button", name="Sign out")
    sign_out.click()
    still_outside(page)
    sign_in(page, guarded, "ada", f"project?project={PROJECTS[1]}")
    expect(page.get_by_role("heading", name=f"{FOREIGN} {PROJECTS[1]}")).to_be_visible()


def test_signing_out_ends_it_here_and_at_the_provider(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "ada")
    before = guarded.provider.signed_out
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)
    assert guarded.provider.signed_out == before + 1
    assert not [cookie for cookie in page.context.cookies() if "user" in str(cookie.get("name"))]
    visit(page, guarded, "billing")
    still_outside(page)


def test_signing_out_in_one_window_ends_the_others_too(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "otto", "jobs")
    other = page.context.new_page()
    visit(other, guarded, "jobs")
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)
    run_count = "SELECT count(*) FROM job_runs WHERE requested_by = 'otto@fleet.example' AND job = 'daily'"
    before = guarded.scalar(run_count)
    other.locator(".st-key-preview-daily button").click()
    expect(other.get_by_text("You have signed out; sign in again").first).to_be_visible()
    assert guarded.scalar(run_count) == before


def replay(guarded: Guarded, page: Page, cookies: str, events: Sequence[bytes]) -> None:
    """Send what a browser once sent, with its cookies, past every page; until the server has worked on it."""
    address = guarded.address.replace("http", "ws") + "/_stcore/stream"
    token = re.search(r"_streamlit_xsrf=([^;]*)", cookies)
    words = [Subprotocol(word) for word in ("streamlit", token[1] if token else "none")]
    with connect(
        address, origin=Origin(guarded.address), subprotocols=words, additional_headers={"Cookie": cookies}
    ) as line:
        for event in events:
            line.send(event)
            while not (message := line.recv(timeout=60)) or ForwardMsg.FromString(message).WhichOneof(
                "type"
            ) != ("script_finished"):
                pass


def test_an_old_press_sent_again_does_only_what_its_sender_may_now(page: Page, guarded: Guarded) -> None:
    frames: list[bytes] = []
    page.on("websocket", lambda line: line.on("framesent", lambda frame: frames.append(bytes(frame))))
    sign_in(page, guarded, "olga", "jobs")
    heading(page, "Jobs")
    press(page, "preview-retention")
    run_count = (
        "SELECT count(*) FROM job_runs WHERE requested_by = 'olga@fleet.example' AND job = 'retention'"
    )
    until(lambda: guarded.scalar(run_count) == 1)
    wait_until_idle(page)
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies(guarded.address))
    events = [frame for frame in frames if b"preview-retention" in frame]
    assert (guarded.scalar(run_count), bool(events)) == (1, True)
    over = (
        "UPDATE job_runs SET state = 'cancelled', finished_at = now(), created_at = now() - interval '1 day'"
    )
    with guarded.engine.begin() as connection:
        connection.execute(text(over))
    replay(guarded, page, cookies, events)
    assert guarded.scalar(run_count) == 2  # as long as they may
    with guarded.engine.begin() as connection:
        connection.execute(text(over))
    (guarded.log.parent / ".env").write_text(OPERATORS.replace("olga", "another"))
    replay(guarded, page, cookies, events)
    (guarded.log.parent / ".env").write_text(OPERATORS)
    assert guarded.scalar(run_count) == 2
    replay(guarded, page, "none=1", events)
    assert guarded.scalar(run_count) == 2
    page.reload()
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)
    replay(guarded, page, cookies, events)
    assert guarded.scalar(run_count) == 2


def test_who_has_no_role_is_told_whom_to_ask(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "eve")
    expect(page.get_by_text("eve@fleet.example has no role in this console; ask")).to_be_visible()
    assert page.get_by_test_id("stMetric").count() == 0
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)


def test_an_address_nobody_verified_is_not_its_owner(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "fake")
    expect(page.get_by_text("Nobody has verified that ada@fleet.example is yours")).to_be_visible()


def test_who_the_provider_refuses_stays_outside(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "nobody")
    still_outside(page)


@pytest.mark.parametrize(
    "spoil",
    [
        {"nonce": "of another sign-in"},
        {"aud": "another-application"},
        {"iss": "http://127.0.0.1:1"},
        {"exp": 1_700_000_000, "iat": 1_600_000_000},
    ],
    ids=lambda spoil: next(iter(spoil)),
)
def test_a_token_that_is_not_for_this_sign_in_is_refused(
    page: Page, guarded: Guarded, spoil: dict[str, object]
) -> None:
    exchanged = guarded.provider.exchanged
    guarded.provider.spoil = spoil
    sign_in(page, guarded, "ada")
    still_outside(page)
    assert guarded.provider.exchanged == exchanged + 1  # it was given, and not believed


def test_a_token_signed_with_another_key_is_refused(page: Page, guarded: Guarded) -> None:
    guarded.provider.wrong_key = True
    sign_in(page, guarded, "ada")
    still_outside(page)


def return_address(page: Page, guarded: Guarded, account: str) -> str:
    """The address that the provider sends the browser back to, which it does not follow yet."""
    guarded.provider.by_hand = True
    page.goto(guarded.address)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Account").fill(account)
    page.get_by_role("button", name="Continue").click()
    return str(page.get_by_role("link", name="Back").get_attribute("href"))


@pytest.mark.parametrize("state", ["forged", ""])
def test_a_state_that_this_browser_did_not_send_is_refused(page: Page, guarded: Guarded, state: str) -> None:
    exchanged = guarded.provider.exchanged
    page.goto(re.sub(r"state=[^&]*", f"state={state}", return_address(page, guarded, "ada")))
    wait_until_idle(page)
    still_outside(page)
    assert guarded.provider.exchanged == exchanged


def test_an_answer_meant_for_another_browser_is_refused(
    browser: Browser, page: Page, guarded: Guarded
) -> None:
    back = return_address(page, guarded, "ada")
    victim = browser.new_context().new_page()
    victim.goto(back)
    wait_until_idle(victim)
    still_outside(victim)
    victim.context.close()
    page.goto(back)
    wait_until_idle(page)
    heading(page, "Overview")  # the same answer is good where it was asked for


@pytest.mark.drill
def test_a_sign_in_ends_with_its_token_also_on_a_page_that_stays_open(page: Page, guarded: Guarded) -> None:
    guarded.provider.lives = 12.0
    sign_in(page, guarded, "ada")
    heading(page, "Overview")
    expect(page.get_by_text("Your sign-in has ended; sign in again").first).to_be_visible()  # the live part
    page.reload()
    wait_until_idle(page)
    still_outside(page)
    guarded.provider.lives = 3600.0
    sign_in(page, guarded, "ada")
    heading(page, "Overview")


def test_a_forged_cookie_is_nobodys(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "vera")
    cookie = next(c for c in page.context.cookies() if c.get("name") == "_streamlit_user")
    value = str(cookie["value"])
    other = "B" if value[30] == "A" else "A"
    page.context.add_cookies([{**cookie, "value": value[:30] + other + value[31:]}])  # type: ignore[typeddict-item, list-item]
    visit(page, guarded, "")
    still_outside(page)


def test_a_customer_sees_their_own_projects_whatever_the_address_says(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "bob")
    heading(page, "Overview")
    expect(page.get_by_text("viewer of an organization")).to_be_visible()
    for path in ("alerts", "snapshots", "limits", f"billing?month={guarded.rivals.closed}"):
        visit(page, guarded, path)
        assert FOREIGN not in page.content()
    visit(page, guarded, f"project?project={PROJECTS[0]}")
    expect(page.get_by_text("which is not the id of a project that exists")).to_be_visible()
    assert FOREIGN not in page.content()
    visit(page, guarded, "jobs")
    expect(page.get_by_text("about the whole platform")).to_be_visible()
    assert page.get_by_test_id("stSidebarNavLink").filter(has_text="Jobs").count() == 0


@pytest.mark.drill
def test_a_customers_download_is_their_own(page: Page, guarded: Guarded) -> None:
    sign_in(page, guarded, "bob")
    visit(page, guarded, f"billing?month={guarded.rivals.closed}")
    with page.expect_download() as caught:
        page.get_by_role("button", name=re.compile("Download CSV")).click()
    content = Path(caught.value.path()).read_text()
    assert FOREIGN not in content
    assert len(content.splitlines()) == 1 + 5
    cookies = "; ".join(f"{one['name']}={one['value']}" for one in page.context.cookies(guarded.address))
    assert answer(caught.value.url, Cookie=cookies)[0] == 200
    for stranger in ("", "_streamlit_user=forged", cookies.replace("_streamlit_user=", "_streamlit_user=x")):
        assert answer(caught.value.url, Cookie=stranger)[0] == 401
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)
    assert answer(caught.value.url, Cookie=cookies)[0] == 401  # a copy of the cookie


def test_where_people_sign_in_other_addresses_are_served(guarded: Guarded) -> None:
    elsewhere = guarded.address.replace("127.0.0.1", "127.0.0.2")
    assert answer(f"{elsewhere}/healthz") == (200, "ok\n")
    assert answer(elsewhere)[0] == 421  # pages only under the redirect address's host, and this machine's


def test_probes_answer_anybody_and_metrics_who_has_the_token(page: Page, guarded: Guarded) -> None:
    assert answer(f"{guarded.address}/healthz") == (200, "ok\n")
    assert answer(f"{guarded.address}/readyz") == (200, "ready\n")
    for path in ("metrics", "_stcore/metrics"):
        assert answer(f"{guarded.address}/{path}")[0] == 401
        assert answer(f"{guarded.address}/{path}", Authorization="Bearer wrong")[0] == 401
        assert answer(f"{guarded.address}/{path}", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert "fleetmeter_up 1" in answer(f"{guarded.address}/metrics", Authorization=f"Bearer {TOKEN}")[1]


def test_the_log_holds_no_secret(guarded: Guarded) -> None:
    log = guarded.log.read_text()
    assert log
    assert [secret for secret in (SECRET, "c" * 32, TOKEN) if secret in log] == []
