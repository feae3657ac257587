"""Signing in, in a real browser against a real provider: the way in, what one may, the way out."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from oidc_provider import CLIENT, SECRET, Provider, provider
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import URL, Connection, Engine, create_engine, text
from the_browser import PATIENCE, settle
from the_console import answer, free_port, serving
from the_rivals import PROJECTS, Rivals
from the_rivals import SECRET as FOREIGN

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

TOKEN = "t" * 32
OPERATORS = "FLEETMETER_OPERATORS=olga@fleet.example\n"
OVERVIEW = re.compile("^Overview$")


@dataclass(frozen=True)
class Site:
    """A console that asks for a sign-in, its provider and the database behind it."""

    address: str
    provider: Provider
    engine: Engine
    rivals: Rivals
    log: Path

    def rows(self, statement: str) -> list[object]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]


@pytest.fixture(scope="module")
def site(
    server: URL, admin: Connection, rivalry: tuple[str, Rivals], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    name = f"site_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{rivalry[0]}"'))
    url = server.set(database=name)
    engine = create_engine(url)
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    with provider() as idp:
        own = str(rivalry[1].organization)
        idp.people = {
            "vera": {"email": "Vera@fleet.example", "email_verified": True},
            "otto": {"email": "otto@fleet.example", "email_verified": True, "roles": ["crew"]},
            "olga": {"email": "olga@fleet.example", "email_verified": True},
            "ada": {"email": "ada@fleet.example", "email_verified": True},
            "eve": {"email": "eve@fleet.example", "email_verified": True},
            "fake": {"email": "ada@fleet.example", "email_verified": False},
            "bob": {"email": "bob@customer.example", "email_verified": True, "org": [own], "roles": ["crew"]},
        }
        given = {
            "FLEETMETER_DATA_DIR": str(folder),
            "FLEETMETER_OIDC_METADATA_URL": idp.metadata_url,
            "FLEETMETER_OIDC_CLIENT_ID": CLIENT,
            "FLEETMETER_OIDC_CLIENT_SECRET": SECRET,
            "FLEETMETER_OIDC_REDIRECT_URI": f"http://127.0.0.1:{port}/oauth2callback",
            "FLEETMETER_OIDC_COOKIE_SECRET": "c" * 32,
            "FLEETMETER_CONSOLE_ADDRESS": "0.0.0.0",  # noqa: S104 - what sign-in allows
            "FLEETMETER_VIEWERS": "vera@fleet.example",
            "FLEETMETER_ADMINS": "ada@fleet.example",
            "FLEETMETER_ROLE_CLAIM": "roles",
            "FLEETMETER_ROLE_VALUES": "crew=operator",
            "FLEETMETER_ORGANIZATION_CLAIM": "org",
            "FLEETMETER_METRICS_TOKEN": TOKEN,
        }
        log = folder / "console.log"
        (folder / ".env").write_text(OPERATORS)
        with serving(url, port=port, log=log, folder=folder, **given) as address:
            yield Site(address, idp, engine, rivalry[1], log)
    engine.dispose()
    admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()
    site.provider.reset()


def sign_in(page: Page, site: Site, account: str, path: str = "") -> None:
    """Through the provider's form, until the console has drawn what it shows then."""
    page.goto(f"{site.address}/{path}")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Account").fill(account)
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{site.address}/**")
    settle(page)


def visit(page: Page, site: Site, path: str) -> None:
    page.goto(f"{site.address}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    settle(page)


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", level=1, name=name, exact=True)).to_be_visible()


def still_outside(page: Page) -> None:
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()
    expect(page.get_by_role("heading", name="Overview")).to_have_count(0)


def test_a_visitor_sees_the_way_in_and_nothing_else(page: Page, site: Site) -> None:
    for path in ("", "billing", "project?project=1", "jobs"):
        visit(page, site, path)
        still_outside(page)
        assert page.get_by_test_id("stSidebarNav").count() == 0
        assert page.get_by_test_id("stMetric").count() == 0


def test_a_viewer_comes_in_reads_and_is_offered_nothing_to_do(page: Page, site: Site) -> None:
    sign_in(page, site, "vera")
    heading(page, "Overview")
    expect(page.get_by_text("vera@fleet.example · viewer")).to_be_visible()
    visit(page, site, "jobs")
    heading(page, "Jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(0)
    visit(page, site, "snapshots")
    expect(page.get_by_role("button", name=re.compile("Backfill"))).to_have_count(0)


def test_an_operator_runs_a_job_under_their_own_name_and_closes_no_month(page: Page, site: Site) -> None:
    sign_in(page, site, "otto")
    visit(page, site, "jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(6)  # every job but the close
    page.get_by_role("button", name="Run now").first.click()
    page.get_by_role("button", name="Run it").click()
    expect(page.get_by_text("asked by otto@fleet.example").first).to_be_visible()
    newest = "SELECT actor, action, before, after->>'state' FROM audit_log ORDER BY id DESC LIMIT 1"
    assert site.rows(newest) == [("otto@fleet.example", "request", None, "queued")]
    assert site.rows("SELECT requested_by FROM job_runs ORDER BY id DESC LIMIT 1") == [
        ("otto@fleet.example",)
    ]


def test_a_role_taken_while_the_page_is_open_does_nothing_any_more(page: Page, site: Site) -> None:
    sign_in(page, site, "olga")
    visit(page, site, "jobs")
    page.get_by_role("button", name="Run now").first.click()
    expect(page.get_by_role("button", name="Run it")).to_be_visible()
    before = site.rows("SELECT count(*), max(id) FROM audit_log")
    (site.log.parent / ".env").write_text(OPERATORS.replace("olga", "another"))
    try:
        page.get_by_role("button", name="Run it").click()
        expect(page.get_by_text("olga@fleet.example has no role in this console").first).to_be_visible()
    finally:
        (site.log.parent / ".env").write_text(OPERATORS)
    assert site.rows("SELECT count(*), max(id) FROM audit_log") == before
    assert site.rows("SELECT count(*) FROM job_runs WHERE requested_by LIKE 'olga%'") == [(0,)]


def test_an_admin_may_close_months_and_post_adjustments(page: Page, site: Site) -> None:
    sign_in(page, site, "ada")
    visit(page, site, "jobs")
    expect(page.get_by_role("button", name="Run now")).to_have_count(7)
    visit(page, site, "alerts")
    expect(page.get_by_text("ada@fleet.example · admin")).to_be_visible()


def test_who_signs_in_comes_to_the_page_they_asked_for(page: Page, site: Site) -> None:
    sign_in(page, site, "ada", f"billing?month={site.rivals.closed}")
    heading(page, "Billing")
    assert page.url == f"{site.address}/billing?month={site.rivals.closed}"
    sign_out = page.get_by_role("button", name="Sign out")
    sign_out.click()
    still_outside(page)
    sign_in(page, site, "ada", f"project?project={PROJECTS[1]}")
    expect(page.get_by_role("heading", name=f"{FOREIGN} {PROJECTS[1]}")).to_be_visible()


def test_signing_out_ends_it_here_and_at_the_provider(page: Page, site: Site) -> None:
    sign_in(page, site, "ada")
    before = site.provider.signed_out
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)
    assert site.provider.signed_out == before + 1
    assert not [cookie for cookie in page.context.cookies() if "user" in str(cookie.get("name"))]
    visit(page, site, "billing")
    still_outside(page)


def test_who_has_no_role_is_told_whom_to_ask(page: Page, site: Site) -> None:
    sign_in(page, site, "eve")
    expect(page.get_by_text("eve@fleet.example has no role in this console; ask")).to_be_visible()
    assert page.get_by_test_id("stMetric").count() == 0
    page.get_by_role("button", name="Sign out").click()
    still_outside(page)


def test_an_address_nobody_verified_is_not_its_owner(page: Page, site: Site) -> None:
    sign_in(page, site, "fake")
    expect(page.get_by_text("Nobody has verified that ada@fleet.example is yours")).to_be_visible()


def test_who_the_provider_refuses_stays_outside(page: Page, site: Site) -> None:
    sign_in(page, site, "nobody")
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
    page: Page, site: Site, spoil: dict[str, object]
) -> None:
    exchanged = site.provider.exchanged
    site.provider.spoil = spoil
    sign_in(page, site, "ada")
    still_outside(page)
    assert site.provider.exchanged == exchanged + 1  # it was given, and not believed


def test_a_token_signed_with_another_key_is_refused(page: Page, site: Site) -> None:
    site.provider.wrong_key = True
    sign_in(page, site, "ada")
    still_outside(page)


def way_back(page: Page, site: Site, account: str) -> str:
    """The address that the provider sends the browser back to, which it does not follow yet."""
    site.provider.by_hand = True
    page.goto(site.address)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Account").fill(account)
    page.get_by_role("button", name="Continue").click()
    return str(page.get_by_role("link", name="Back").get_attribute("href"))


@pytest.mark.parametrize("state", ["forged", ""])
def test_a_state_that_this_browser_did_not_send_is_refused(page: Page, site: Site, state: str) -> None:
    exchanged = site.provider.exchanged
    page.goto(re.sub(r"state=[^&]*", f"state={state}", way_back(page, site, "ada")))
    settle(page)
    still_outside(page)
    assert site.provider.exchanged == exchanged


def test_an_answer_meant_for_another_browser_is_refused(browser: Browser, page: Page, site: Site) -> None:
    back = way_back(page, site, "ada")
    victim = browser.new_context().new_page()
    victim.goto(back)
    settle(victim)
    still_outside(victim)
    victim.context.close()
    page.goto(back)
    settle(page)
    heading(page, "Overview")  # the same answer is good where it was asked for


def test_a_sign_in_ends_with_its_token_also_on_a_page_that_stays_open(page: Page, site: Site) -> None:
    site.provider.lives = 20.0
    sign_in(page, site, "ada")
    heading(page, "Overview")
    expect(page.get_by_text("Your sign-in has ended; sign in again").first).to_be_visible()  # the live part
    page.reload()
    settle(page)
    still_outside(page)
    site.provider.lives = 3600.0
    sign_in(page, site, "ada")
    heading(page, "Overview")


def test_a_forged_cookie_is_nobodys(page: Page, site: Site) -> None:
    sign_in(page, site, "vera")
    cookie = next(c for c in page.context.cookies() if c.get("name") == "_streamlit_user")
    value = str(cookie["value"])
    page.context.add_cookies([{**cookie, "value": value[:30] + "A" + value[31:]}])  # type: ignore[typeddict-item, list-item]
    visit(page, site, "")
    still_outside(page)


def test_a_customer_sees_their_own_projects_whatever_the_address_says(page: Page, site: Site) -> None:
    sign_in(page, site, "bob")
    heading(page, "Overview")
    expect(page.get_by_text("viewer of an organization")).to_be_visible()
    for path in ("alerts", "snapshots", "limits", f"billing?month={site.rivals.closed}"):
        visit(page, site, path)
        assert FOREIGN not in page.content()
    visit(page, site, f"project?project={PROJECTS[0]}")
    expect(page.get_by_text("which is not the id of a project that exists")).to_be_visible()
    assert FOREIGN not in page.content()
    visit(page, site, "jobs")
    expect(page.get_by_text("about the whole platform")).to_be_visible()
    assert page.get_by_test_id("stSidebarNavLink").filter(has_text="Jobs").count() == 0


def test_a_customers_download_is_their_own(page: Page, site: Site) -> None:
    sign_in(page, site, "bob")
    visit(page, site, f"billing?month={site.rivals.closed}")
    with page.expect_download() as caught:
        page.get_by_role("button", name=re.compile("Download CSV")).click()
    content = Path(caught.value.path()).read_text()
    assert FOREIGN not in content
    assert len(content.splitlines()) == 1 + 5


def test_where_people_sign_in_other_addresses_are_served(site: Site) -> None:
    elsewhere = site.address.replace("127.0.0.1", "127.0.0.2")
    assert answer(f"{elsewhere}/healthz") == (200, "ok\n")


def test_probes_answer_anybody_and_metrics_who_has_the_token(page: Page, site: Site) -> None:
    assert answer(f"{site.address}/healthz") == (200, "ok\n")
    assert answer(f"{site.address}/readyz") == (200, "ready\n")
    for path in ("metrics", "_stcore/metrics"):
        assert answer(f"{site.address}/{path}")[0] == 401
        assert answer(f"{site.address}/{path}", Authorization="Bearer wrong")[0] == 401
        assert answer(f"{site.address}/{path}", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert "fleetmeter_up 1" in answer(f"{site.address}/metrics", Authorization=f"Bearer {TOKEN}")[1]


def test_the_log_holds_no_secret(site: Site) -> None:
    log = site.log.read_text()
    assert log
    assert [secret for secret in (SECRET, "c" * 32, TOKEN) if secret in log] == []
