"""The console in a real browser: its own server, a real database, a live runner."""

import base64
import csv
import re
from datetime import UTC, datetime
from http.client import HTTPConnection
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from sqlalchemy import URL, Connection, text

from console.pages import TITLES
from tests.support.browser import wait_until_idle
from tests.support.browser_site import Site, in_turn, press, tick, visit
from tests.support.drills import later
from tests.support.fleet import HOSTILE, answer, serving
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

# What Streamlit itself draws so, and which of axe-core's rules it breaks: the lists of its navigation hold
# sections, not items; a point of a figure's sparkline is called an image and has no name.
STREAMLITS_OWN = {"list": "stSidebarNav", "listitem": "stSidebarNav", "svg-img-alt": "stMetric"}


LATER = ("run", "search", "audit", "changes", "customers")  # made of the parts of the others


# Colours are the same at every width, and widths the same in both schemes; others look at wide, light pages.
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (390, "dark"),
        later(1440, "light"),
        later(1440, "dark"),
    ],
)
@pytest.mark.parametrize("name", [later(name) if name in LATER else name for name in TITLES])
def test_every_page_opens_whole(page: Page, site: Site, name: str, width: int, scheme: str) -> None:
    look(page, width, scheme)
    crashes: list[str] = []
    foreign: list[str] = []
    page.on("pageerror", lambda error: crashes.append(str(error)))
    page.on("request", lambda request: _note(request.url, site, foreign))
    visit(page, site, name)
    assert page.get_by_role("heading", level=1).inner_text() == TITLES[name][0]
    assert page.get_by_test_id("stException").count() == 0
    assert page.get_by_text("could not be shown").count() == 0
    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("() => window.hacked") is None
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert barriers(page) == []
    assert crashes == []
    assert foreign == [], "the console must work where there is no internet"


def look(page: Page, width: int, scheme: str) -> None:
    """Make the window so wide, in that colour scheme."""
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]


@pytest.mark.parametrize("scheme", [later("light"), "dark"])
def test_a_question_and_an_explanation_have_no_barrier(page: Page, site: Site, scheme: str) -> None:
    look(page, 1440, scheme)
    visit(page, site, "jobs")
    press(page, "run-daily")
    expect(page.get_by_role("dialog")).to_be_visible()
    wait_until_idle(page)
    assert barriers(page) == []
    visit(page, site, f"billing?month={site.fleet.closed}")
    tick(page, "bills")
    expect(page.get_by_role("region", name="Lines of the bill")).to_be_visible()
    wait_until_idle(page)
    assert barriers(page) == []


def barriers(page: Page) -> list[str]:
    """What axe-core calls serious or critical three times, but for what Streamlit is known for.

    A button that a rerun disables fades from one colour to the other while axe reads it: neither is
    what a reader meets, and the next reading does not have it.
    """
    page.evaluate("() => { window.module = undefined }")  # else axe takes the page for a Node module
    for _ in range(2):
        if not _barriers_now(page):
            return []
    return _barriers_now(page)


def _barriers_now(page: Page) -> list[str]:
    page.wait_for_function("() => document.getAnimations().every(a => !(a instanceof CSSTransition))")
    return [
        f"{rule['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
        if not (rule["id"] in STREAMLITS_OWN and _inside(page, node["target"][0], STREAMLITS_OWN[rule["id"]]))
    ]


def _inside(page: Page, selector: str, part: str) -> bool:
    closest = "(node, part) => node.closest(`[data-testid=${part}]`) !== null"
    return bool(page.locator(selector).first.evaluate(closest, part))


def _note(url: str, site: Site, foreign: list[str]) -> None:
    if not url.startswith((site.address, "data:", "blob:", site.address.replace("http", "ws"))):
        foreign.append(url)


def test_a_missing_day_is_backfilled_with_one_double_click(page: Page, site: Site, live_runner: None) -> None:
    if not site.fleet.missing:
        pytest.skip("too early in the month for missing days")
    visit(page, site, "snapshots")
    page.get_by_role("button", name="Backfill 3 missing days").dblclick()
    expect(page.get_by_text("No day is missing")).to_be_visible()
    expect(page.get_by_text("Succeeded")).to_have_count(1)
    assert site.scalar("SELECT count(*) FROM job_runs WHERE job = 'backfill'") == 1
    sealed = "SELECT count(*) FROM daily_stats WHERE project_id = :id AND date = ANY(:dates)"
    dates = [day.date for day in site.fleet.missing]
    assert site.scalar(sealed, id=site.fleet.projects[-1], dates=dates) == len(dates)


@pytest.mark.parametrize("job", in_turn("daily", "monthly"))
def test_a_job_is_asked_for_runs_and_shows_its_result(
    page: Page, site: Site, live_runner: None, job: str
) -> None:
    before = site.scalar("SELECT max(id) FROM job_runs")
    visit(page, site, "jobs")
    press(page, f"run-{job}")
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    press(page, f"run-{job}")
    page.get_by_role("dialog").get_by_role("button", name="Run it").dblclick()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_text("triggered by console").first).to_be_visible()
    run_states = "SELECT array_agg(state) FROM job_runs WHERE id > :before AND job = :job"
    until(lambda: site.scalar(run_states, before=before, job=job) == ["succeeded"])
    expect(page.locator(".stMain").get_by_text("Succeeded").first).to_be_visible()


def test_closing_the_tab_in_mid_run_harms_nothing(page: Page, site: Site, live_runner: None) -> None:
    visit(page, site, "jobs")
    before = site.scalar("SELECT coalesce(max(id), 0) FROM job_runs")
    press(page, "run-daily")
    page.get_by_role("dialog").get_by_role("button", name="Run it").click()
    until(lambda: site.scalar("SELECT max(id) FROM job_runs") != before)
    page.close()
    until(
        lambda: site.scalar(
            "SELECT bool_and(state = 'succeeded') FROM job_runs WHERE id > :id AND job = 'daily'", id=before
        )
    )


def test_the_shares_of_limits_are_chosen_and_kept_in_the_address(page: Page, site: Site) -> None:
    visit(page, site, "limits")
    page.get_by_text("From 50 %").click()
    page.wait_for_url("**share=50*")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Limits")
    page.wait_for_url("**share=50*")


def test_a_waiting_run_is_cancelled(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        run = connection.scalar(
            text("""INSERT INTO job_runs (job, period, at, trigger, requested_by, next_attempt_at)
                VALUES ('daily', '2026-01-02', now(), 'manual', 'someone', now() + interval '1 day')
                RETURNING id""")
        )
    visit(page, site, "jobs")
    press(page, f"cancel-{run}")
    expect(page.locator(f".st-key-cancel-{run}")).to_be_hidden()
    assert site.scalar("SELECT state FROM job_runs WHERE id = :id", id=run) == "cancelled"


def test_a_failed_run_is_tried_again(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        run = connection.scalar(
            text("""INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
                VALUES ('daily', '2026-01-03', now(), 'manual', 'someone', 'failed', now()) RETURNING id""")
        )
    visit(page, site, "jobs")
    press(page, f"retry-{run}")
    again = "SELECT count(*) FROM job_runs WHERE period = '2026-01-03' AND trigger = 'retry'"
    until(lambda: site.scalar(again) == 1)
    with site.engine.begin() as connection:
        connection.execute(text("DELETE FROM job_runs WHERE period = '2026-01-03'"))


def test_the_download_is_the_table_is_the_database(page: Page, site: Site, tmp_path: Path) -> None:
    visit(page, site, f"billing?month={site.fleet.closed}")
    with page.expect_download() as started:
        page.get_by_role("button", name="Download CSV").click()
    started.value.save_as(tmp_path / "bills.csv")
    with (tmp_path / "bills.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    total = site.scalar("SELECT sum(total_charge)::text FROM monthly_stats")
    expect(page.get_by_text(f"{float(str(total)):,.2f} USD").first).to_be_visible()
    assert len(rows) == site.scalar("SELECT count(*) FROM monthly_stats") == len(site.fleet.projects)
    assert started.value.suggested_filename == f"fleetmeter-{site.fleet.closed}.csv"


def test_refreshing_reads_again(page: Page, site: Site) -> None:
    visit(page, site)
    stamp = page.get_by_text("Data as of").inner_text()[:30]
    until(lambda: f"{datetime.now(UTC):%H:%M:%S}" not in stamp)  # it is to the second
    page.get_by_role("button", name="Refresh").click()
    expect(page.get_by_text(stamp)).to_have_count(0)


@pytest.mark.drill
def test_what_is_chosen_is_shown_however_the_live_parts_interfere(page: Page, site: Site) -> None:
    visit(page, site, "project")
    for number in (1, 3, 1, 3, 1):
        page.get_by_role("combobox", name="Project").fill(HOSTILE[number][:6])
        page.get_by_role("option").filter(has_text=HOSTILE[number][:6]).click()
        expect(page.get_by_role("heading", level=2).first).to_contain_text(HOSTILE[number][:6])
        page.wait_for_url(f"**project={site.fleet.projects[number]}*")


def test_a_project_is_chosen_and_back_leads_to_the_one_before(page: Page, site: Site) -> None:
    visit(page, site, f"project?project={site.fleet.projects[0]}")
    page.get_by_role("combobox", name="Project").fill("=cmd")
    page.get_by_role("option").filter(has_text="=cmd").click()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("=cmd")
    page.wait_for_url(f"**project={site.fleet.projects[1]}*")
    page.go_back()
    expect(page.get_by_role("heading", level=2).first).to_contain_text("<script>")


def test_the_overview_leads_to_what_mends_it(page: Page, site: Site) -> None:
    visit(page, site)
    page.get_by_role("link", name="Look at a project").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Project")


def focus(page: Page, words: str) -> None:
    """Go from one thing to the next by the keyboard until that one is reached."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.innerText").strip().endswith(words):
            return
    raise AssertionError(f"the keyboard does not reach {words}")


def test_the_keyboard_alone_leads_to_a_question_and_out_of_it(page: Page, site: Site) -> None:
    before = site.scalar("SELECT count(*) FROM job_runs")
    visit(page, site)
    focus(page, "Jobs")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Jobs")).to_be_visible()
    wait_until_idle(page)
    for words in ("Billing", "Refresh", "Preview", "Run now"):
        focus(page, words)
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert site.scalar("SELECT count(*) FROM job_runs") == before


def test_probes_answer_in_the_same_server(site: Site) -> None:
    assert answer(f"{site.address}/healthz") == (200, "ok\n")
    assert answer(f"{site.address}/readyz") == (200, "ready\n")
    status, body = answer(f"{site.address}/metrics")
    assert status == 200
    assert f"fleetmeter_projects {float(len(site.fleet.projects))}\n" in body
    assert 'fleetmeter_source_age_seconds{source="mqtt"}' in body
    assert 'source="s3"' not in body, "a source that was never measured has no age"


def handshake(address: str, host: str, origin: str) -> int:
    """The status that a browser's request for a live connection gets; 101: it is open."""
    name, _, port = address.removeprefix("http://").partition(":")
    connection = HTTPConnection(name, int(port), timeout=60)
    connection.putrequest("GET", "/_stcore/stream", skip_host=True)
    key = base64.b64encode(b"sixteen bytes xx").decode()
    headers = {"Host": host, "Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket"}
    for header, value in (headers | {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": key}).items():
        connection.putheader(header, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def test_no_website_reaches_the_console_through_its_visitors_browser(site: Site) -> None:
    own = site.address.removeprefix("http://")
    port = own.partition(":")[2]
    assert handshake(site.address, own, site.address) == 101
    assert handshake(site.address, f"localhost:{port}", f"http://localhost:{port}") == 101
    assert handshake(site.address, own, "http://evil.example") == 403
    rebound = f"evil.example:{port}"  # a name of theirs that leads to 127.0.0.1
    assert handshake(site.address, rebound, f"http://{rebound}") == 421
    for path in ("", "metrics", "_stcore/metrics"):
        assert answer(f"{site.address}/{path}", Host=rebound)[0] == 421


def test_a_database_that_is_down_is_one_sentence_on_every_page_and_trying_again_shows_it(
    page: Page, site: Site, admin: Connection
) -> None:
    name = site.engine.url.database
    try:
        admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'))
        end_connections = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
        for key in TITLES:
            admin.execute(text(end_connections), {"name": name})
            page.goto(f"{site.address}/{key}?again")
            if key == "overview":  # most of it may be kept for a moment
                sentence = re.compile("cannot be reached|the database does not answer")
                expect(page.get_by_text(sentence).first).to_be_visible()
                wait_until_idle(page)
                assert page.get_by_role("button", name="Try again").count() <= 1
                continue
            expect(page.get_by_text("cannot be reached")).to_contain_text("Reference")
            wait_until_idle(page)
            expect(page.get_by_role("button", name="Try again")).to_have_count(1)
    finally:
        admin.execute(text(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true'))
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", level=1, name=TITLES[key][0])).to_be_visible()


@pytest.mark.parametrize(
    ("path", "parameter"),
    [
        ("project?project=424242", "project = 424242"),
        ("alerts?kind=<b>x</b>", "kind = <b>x</b>"),
        later("project?project=abc", "project = abc"),
        later("project?days=31", "days = 31"),
        later("snapshots?from=2026-13-01", "from = 2026-13-01"),
        later("snapshots?source=cheese", "source = cheese"),
        later("billing?month=soon", "month = soon"),
        later("limits?share=81", "share = 81"),
        later("jobs?state=exploded", "state = exploded"),
    ],
)
def test_a_wrong_value_of_the_address_is_named(page: Page, site: Site, path: str, parameter: str) -> None:
    visit(page, site, path)
    expect(page.get_by_text(f"The address says {parameter}")).to_be_visible()


def test_readiness_tells_when_the_database_is_away() -> None:
    nowhere = URL.create("postgresql", host="127.0.0.1", port=1, database="nothing", password="hidden-word")
    with serving(nowhere) as address:
        status, body = answer(f"{address}/readyz")
        assert status == 503
        assert "cannot be reached" in body
        assert "hidden-word" not in body
        assert "\nfleetmeter_up 0.0\n" in answer(f"{address}/metrics")[1]
        assert answer(f"{address}/healthz") == (200, "ok\n")
