"""What operators come for, each in at most three clicks from Overview: docs/console.md lists the clicks."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from tests.support.browser import settle
from tests.support.browser_site import Site, visit
from tests.support.fleet import FORMULA
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]
MOST = 3
LISTED = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")


class Clicks:
    """Counts the clicks of a task."""

    def __init__(self, page: Page) -> None:
        self.page, self.number = page, 0

    def open(self, title: str) -> None:
        self.number += 1
        self.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        expect(self.page.get_by_role("heading", level=1, name=title, exact=True)).to_be_visible()
        settle(self.page)

    def press(self, name: str, within: str = "") -> None:
        self.number += 1
        place = self.page.locator(within) if within else self.page
        place.get_by_role("button", name=re.compile(name)).first.click()


def who_will_exceed(page: Page, site: Site, click: Clicks) -> None:
    click.open("Limits")
    assert page.get_by_text("could not be shown").count() == 0


def why_a_bill_grew(page: Page, site: Site, click: Clicks) -> None:
    click.number += 1
    busiest = page.get_by_role("region", name="The ten projects with the most messages")
    busiest.get_by_role("row").filter(has_text=FORMULA[:4]).get_by_role("link").nth(1).click()
    expect(page.get_by_role("heading", level=1, name="Customers")).to_be_visible()
    page.wait_for_url("**customers?organization=*")


def repair_a_source(page: Page, site: Site, click: Clicks) -> None:
    before = site.scalar("SELECT coalesce(max(id), 0) FROM job_runs")
    click.open("Jobs")
    click.press("Run now", "[class*=st-key-job-hourly]")
    click.press("Run it", "[role=dialog]")
    asked = "SELECT count(*) FROM job_runs WHERE id > :before AND job = 'hourly'"
    until(lambda: site.scalar(asked, before=before) == 1)


def which_days_are_missing(page: Page, site: Site, click: Clicks) -> None:
    click.open("Snapshots")
    expect(page.get_by_text(re.compile("missing in 1 project|No day is missing")).first).to_be_visible()


def what_happened_last_night(page: Page, site: Site, click: Clicks) -> None:
    click.open("Jobs")
    expect(page.get_by_role("region", name="Runs, newest first")).to_be_visible()


def who_changed_a_bill(page: Page, site: Site, click: Clicks) -> None:
    click.open("Audit")
    assert page.get_by_text("could not be shown").count() == 0


def what_runs_now(page: Page, site: Site, click: Clicks) -> None:
    click.open("Jobs")
    expect(page.get_by_text("7 of 10").first).to_contain_text("left")


def is_the_counter_exact(page: Page, site: Site, click: Clicks) -> None:
    click.open("Health")
    expect(page.get_by_role("heading", name="Drift against the broker's own count")).to_be_visible()


def which_project_is_silent(page: Page, site: Site, click: Clicks) -> None:
    click.open("Changes")
    assert page.get_by_text("could not be shown").count() == 0


def download_a_month(page: Page, site: Site, click: Clicks) -> None:
    click.open("Billing")
    with page.expect_download() as started:
        click.press("Download CSV")
    assert started.value.suggested_filename == f"fleetmeter-{site.fleet.closed}.csv"


TASKS: dict[str, Callable[[Page, Site, Clicks], None]] = {
    "which customer will exceed what this week": who_will_exceed,
    "why did the bill of a customer grow": why_a_bill_grew,
    "repair S3 of a project": repair_a_source,
    "which days are missing and why": which_days_are_missing,
    "what happened last night": what_happened_last_night,
    "who changed this bill": who_changed_a_bill,
    "what runs now and when will it be done": what_runs_now,
    "is the counter exact right now": is_the_counter_exact,
    "which project is silent": which_project_is_silent,
    "download October's bills": download_a_month,
}


def test_ten_tasks_take_three_clicks_at_most(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO job_runs (job, period, at, trigger, requested_by, state, started_at,
                heartbeat_at, progress)
                VALUES ('archive', '2026-01-06', now(), 'manual', 'someone', 'running',
                now() - interval '70 seconds', now(), '{"what": "days", "done": 7, "total": 10}')""")
        )
    clicks = {}
    for task, do in TASKS.items():
        visit(page, site)
        click = Clicks(page)
        do(page, site, click)
        clicks[task] = click.number
        assert click.number <= MOST, task
        assert f"| {task} | {click.number} |" in LISTED, f"docs/console.md: {task} takes {click.number}"
    with site.engine.begin() as connection:
        connection.execute(text("DELETE FROM job_runs WHERE period = '2026-01-06'"))
