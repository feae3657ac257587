"""What all pages share, in a real browser: links in the tab, the search, keys, renewal, a run's page."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from console.pages import TITLES
from tests.support.browser import PATIENCE, wait_until_idle
from tests.support.browser_site import NOTE_A_RUN, Site, press, visit
from tests.support.fleet import FORMULA, HOSTILE
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.drill, pytest.mark.timeout(400)]

SHIFTS = """window.shifted = 0; new PerformanceObserver(list => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({type: 'layout-shift', buffered: true})"""


def run_of(site: Site, state: str, period: str) -> object:
    finished = "now()" if state == "failed" else "NULL"
    with site.engine.begin() as connection:
        return connection.scalar(
            text(f"""INSERT INTO job_runs (job, period, at, trigger, requested_by, state, next_attempt_at,
                finished_at, errors) VALUES ('daily', :period, now(), 'manual', 'someone', :state,
                now() + interval '1 day', {finished}, '[{{"error": "no luck"}}]') RETURNING id"""),
            {"state": state, "period": period},
        )


def test_a_name_opens_its_page_in_the_tab_and_back_leads_here_once(page: Page, site: Site) -> None:
    visit(page, site)
    page.evaluate("() => { window.same = true }")
    busiest = page.get_by_role("region", name="The ten projects with the most messages")
    busiest.get_by_role("link", name=FORMULA[:4]).click()
    expect(page.get_by_role("heading", level=1, name="Project")).to_be_visible()
    page.wait_for_url(f"**project={site.fleet.projects[HOSTILE.index(FORMULA)]}*")
    expect(page).to_have_title(re.compile(r"Project · Fleetmeter$"))
    wait_until_idle(page)
    page.go_back()
    expect(page.get_by_role("heading", level=1, name="Overview")).to_be_visible()
    assert page.evaluate("() => window.same"), "the page was loaded anew"
    assert len(page.context.pages) == 1


def test_slash_searches_everything_and_a_match_opens_in_the_tab(page: Page, site: Site) -> None:
    visit(page, site, "health")
    expect(page.get_by_label("Search", exact=True)).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("=cmd| r/")  # neither key acts while somebody types
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Search")).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("region", name="Projects that match").get_by_role("link").click()
    page.wait_for_url(f"**project={site.fleet.projects[HOSTILE.index(FORMULA)]}*")
    visit(page, site, f"search?q={site.fleet.closed}")
    expect(page.get_by_role("link", name=str(site.fleet.closed))).to_be_visible()
    visit(page, site, "search?q=%25")
    expect(page.get_by_text("0 matches")).to_be_visible()


def test_a_page_renews_itself_but_not_while_somebody_types(page: Page, site: Site) -> None:
    page.clock.install()
    visit(page, site, "jobs?every=60")
    page.evaluate(NOTE_A_RUN)
    page.get_by_label("Search", exact=True).focus()
    page.clock.run_for(61_000)
    page.get_by_label("Search", exact=True).blur()
    page.clock.run_for(2_000)
    page.wait_for_function("() => window.began")
    page.get_by_role("combobox", name="Refresh every").click()
    page.get_by_role("option", name="⟳ off").click()
    page.wait_for_url("**every=off*")
    expect(page.locator("[class*=st-key-renew-]")).to_have_count(0)


def test_a_run_is_tried_again_on_its_page(page: Page, site: Site) -> None:
    run = run_of(site, "failed", "2026-01-04")
    visit(page, site, f"run?id={run}")
    expect(page.get_by_role("region", name="What this run could not do")).to_contain_text("no luck")
    press(page, "run-retry")
    again = "SELECT id FROM job_runs WHERE period = '2026-01-04' AND trigger = 'retry'"
    until(lambda: site.scalar(again) is not None)
    page.wait_for_url(f"**id={site.scalar(again)}*")
    with site.engine.begin() as connection:
        connection.execute(text("DELETE FROM job_runs WHERE period = '2026-01-04'"))


def test_a_run_is_cancelled_on_its_page(page: Page, site: Site) -> None:
    run = run_of(site, "queued", "2026-01-05")
    visit(page, site, f"run?id={run}")
    press(page, "run-cancel")
    until(lambda: site.scalar("SELECT state FROM job_runs WHERE id = :id", id=run) == "cancelled")
    visit(page, site, "run?id=0")
    expect(page.get_by_text("The address says id = 0")).to_be_visible()


# On a busy machine a font or a script may come late: what is measured is a machine that has time.
@pytest.mark.drill
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("name", list(TITLES))
def test_nothing_moves_while_a_page_is_loaded(browser: Browser, site: Site, name: str, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(PATIENCE)
    context.add_init_script(SHIFTS)
    page = context.new_page()
    visit(page, site, name)
    assert page.evaluate("() => window.shifted") <= 0.1
    context.close()
