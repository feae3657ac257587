"""A month in the browser: its close previewed, blocked, accepted and pressed; its bills leafed through."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from metering.catalogue import projects
from metering.catalogue.periods import Month
from metering.days.seal import seal_through
from tests.support.browser_site import Site, choose, listing, press, tick, visit, wait_until_idle
from tests.support.gaps import open_gap
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]

BILLS = "SELECT count(*) FROM monthly_stats WHERE project_id = :id"


@pytest.fixture
def late(site: Site) -> int:
    """A project that a gap in the closed month keeps from its bill; its days are sealed."""
    month = site.fleet.closed
    project = Platform(site.engine).project(created_at=month.start, name="late")
    start = month.start + timedelta(hours=30)
    with site.engine.begin() as connection:
        projects.ensure(connection, [project], month.last.start)
        seal_through(connection, month.last, [project], datetime.now(UTC))
        open_gap(connection, "mqtt", start, start + timedelta(hours=2), "*it* was $lost$", [project])
    return project


def test_a_blocked_month_is_previewed_accepted_with_a_reason_and_closed_once(
    page: Page, site: Site, late: int, live_runner: None
) -> None:
    scheduled = "SELECT bool_and(finished_at IS NOT NULL) FROM job_runs WHERE job = 'monthly' AND NOT dry_run"
    until(lambda: site.scalar(scheduled))  # it has left the project out
    gap = site.scalar("SELECT id FROM gaps WHERE :late = ANY(project_ids)", late=late)
    accepted = "SELECT accepted_by FROM gaps WHERE :late = ANY(project_ids)"
    visit(page, site, f"billing?month={site.fleet.closed}")
    expect(page.get_by_text("1 project not billed yet")).to_be_visible()
    expect(page.get_by_text("*it* was $lost$")).to_be_visible()
    press(page, f"accept-{gap}")
    page.get_by_role("dialog").get_by_role("button", name="Accept it").click()
    expect(page.get_by_text("needs a reason")).to_be_visible()
    assert site.scalar(accepted, late=late) is None
    press(page, f"accept-{gap}")
    page.get_by_label("Why its usage may be left out").fill("a known outage")
    page.get_by_role("dialog").get_by_role("button", name="Accept it").dblclick()
    until(lambda: site.scalar(accepted, late=late) == "console")
    expect(page.locator(f".st-key-accept-{gap}")).to_have_count(0)
    preview(page, site, late)
    close(page, site, late)


def preview(page: Page, site: Site, late: int) -> None:
    wait_until_idle(page)
    page.locator(".st-key-preview-close button").dblclick()
    expect(page.get_by_text("The run would do exactly this")).to_be_visible()
    page.get_by_text("The first 1 project").click()
    expect(listing(page, "What would change, by project")).to_be_visible()
    trials = "SELECT array_agg(state) FROM job_runs WHERE job = 'monthly' AND trigger = 'console' AND dry_run"
    assert site.scalar(trials) == ["succeeded"]
    assert site.scalar(BILLS, id=late) == 0


def close(page: Page, site: Site, late: int) -> None:
    run_states = """SELECT array_agg(state) FROM job_runs WHERE job = 'monthly' AND trigger = 'console'
        AND NOT dry_run"""
    wait_until_idle(page)
    press(page, "close")
    page.get_by_role("dialog").get_by_role("button", name="Not now").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert site.scalar(run_states) is None
    press(page, "close")
    page.get_by_role("dialog").get_by_role("button", name="Close it").dblclick()
    expect(page.get_by_text("sealed: none can change")).to_be_visible()
    assert site.scalar(run_states) == ["succeeded"]
    assert site.scalar(BILLS, id=late) == 1
    assert site.scalar("SELECT closed_by FROM monthly_stats WHERE project_id = :id", id=late) == "console"
    expect(page.locator(".st-key-close")).to_have_count(0)


def test_a_month_is_chosen_and_said_to_run(page: Page, site: Site) -> None:
    running = Month.of(datetime.now(UTC))
    visit(page, site, f"billing?month={site.fleet.closed}")
    choose(page, "Month", str(running))
    page.wait_for_url(f"**month={running}*")
    expect(page.get_by_text(f"Ends {running.end:%Y-%m-%d}")).to_be_visible()
    expect(page.get_by_text("Charged so far")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("combobox", name="Month")).to_have_value(str(site.fleet.closed))


# Copies of a bill in an earlier month, more than a page holds.
COPIES = """
    INSERT INTO monthly_stats SELECT made.* FROM monthly_stats m
    CROSS JOIN projects p CROSS JOIN LATERAL jsonb_populate_record(m, jsonb_build_object('project_id', p.id,
        'year', :year, 'month', :month, 'total_charge', p.id)) AS made
    WHERE m.project_id = (SELECT min(project_id) FROM monthly_stats) AND p.name LIKE 'copy %'"""


@pytest.mark.drill
def test_more_bills_than_a_page_holds_are_leafed_through(page: Page, site: Site) -> None:
    month = site.fleet.closed.previous()
    with site.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO projects (organization_id, name, created_at)
                SELECT (SELECT min(id) FROM organizations), 'copy ' || n, now()
                FROM generate_series(1, 501) n""")
        )
        connection.execute(text(COPIES), {"year": month.year, "month": month.month})
    visit(page, site, "billing")
    page.get_by_role("button", name="Refresh").click()  # the months to choose from are kept for some seconds
    visit(page, site, f"billing?month={month}")
    expect(page.get_by_role("heading", name="501 bills")).to_be_visible()
    page.get_by_label("Page of 2").fill("2")
    page.keyboard.press("Enter")
    page.wait_for_url("**page=2*")
    wait_until_idle(page)
    tick(page, "bills")
    least = site.scalar("SELECT min(id) FROM projects WHERE name LIKE 'copy %'")
    page.wait_for_url(f"**project={least}*")
    visit(page, site, f"billing?month={month}&page=nine")
    expect(page.get_by_text("page = nine")).to_be_visible()
