"""What operators come for, each in at most three clicks from Overview: docs/console.md lists the clicks."""

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect
from sqlalchemy import text

from tests.support.browser import wait_until_idle
from tests.support.browser_site import Site, visit
from tests.support.fleet import EMOJI, FORMULA, HOSTILE
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
        wait_until_idle(self.page)

    def press(self, name: str, within: str = "") -> None:
        self.number += 1
        place = self.page.locator(within) if within else self.page
        place.get_by_role("button", name=re.compile(name)).first.click()


def cards(page: Page, title: str) -> Locator:
    """The rows of a table, as a phone lists them; at a desk they are drawn on a canvas, which has no text."""
    return page.get_by_role("list", name=re.compile(title), include_hidden=True).locator("li")


def who_will_exceed(page: Page, site: Site, click: Clicks) -> None:
    click.open("Limits")
    row = cards(page, "Meters by how much of the allowance is used").filter(has_text="MQTT messages in").first
    expect(row).to_contain_text(FORMULA)
    expect(row).to_contain_text("97%")
    if datetime.now(UTC).day > 1:  # in the first hours of a month nothing is projected
        expect(row).to_contain_text(re.compile(r"reaches 100 % on \d|reached|lasts the month"))


def why_a_bill_grew(page: Page, site: Site, click: Clicks) -> None:
    click.number += 1
    busiest = page.get_by_role("region", name="The ten projects with the most messages")
    busiest.get_by_role("row").filter(has_text=FORMULA[:4]).get_by_role("link").nth(1).click()
    expect(page.get_by_role("heading", level=1, name="Customers")).to_be_visible()
    page.wait_for_url("**customers?organization=*")
    parts = cards(page, "Parts of the bills of")
    fees = site.scalar(
        "SELECT sum(plan_fee) FROM monthly_stats WHERE year = :year AND month = :month",
        year=site.fleet.closed.year,
        month=site.fleet.closed.month,
    )
    expect(parts.filter(has_text="Plan fees")).to_contain_text(f"{fees:,.2f}")


def repair_a_source(page: Page, site: Site, click: Clicks) -> None:
    before = site.scalar("SELECT coalesce(max(id), 0) FROM job_runs")
    click.open("Jobs")
    click.press("Run now", "[class*=st-key-job-hourly]")
    click.press("Run it", "[role=dialog]")
    run_count = "SELECT count(*) FROM job_runs WHERE id > :before AND job = 'hourly'"
    until(lambda: site.scalar(run_count, before=before) == 1)


def which_days_are_missing(page: Page, site: Site, click: Clicks) -> None:
    click.open("Snapshots")
    if not site.fleet.missing:  # early in a month
        expect(page.get_by_text("No day is missing").first).to_be_visible()
        return
    row = cards(page, "Missing days by project").filter(has_text=EMOJI[:1])
    for day in site.fleet.missing:
        expect(row).to_contain_text(str(day))


def what_happened_last_night(page: Page, site: Site, click: Clicks) -> None:
    click.open("Jobs")
    run = cards(page, "Runs, newest first").filter(has_text="Monthly")
    run = run.or_(cards(page, "Runs, newest first").filter(has_text="monthly"))
    expect(run.first).to_contain_text("no plan for tier gold")
    expect(run.first).to_contain_text("Failed")


def who_changed_a_bill(page: Page, site: Site, click: Clicks) -> None:
    click.open("Audit")
    entry = cards(page, "Entries of the audit log").filter(has_text="agreed by phone").first
    for word in ("finance@example.com", f"project {site.fleet.projects[0]}", "-12.50"):
        expect(entry).to_contain_text(word)


def what_runs_now(page: Page, site: Site, click: Clicks) -> None:
    click.open("Jobs")
    expect(page.get_by_text("7 of 10").first).to_contain_text("left")


def is_the_counter_exact(page: Page, site: Site, click: Clicks) -> None:
    click.open("Health")
    expect(page.get_by_role("heading", name="Drift against the broker's own count")).to_be_visible()
    row = cards(page, "The newest hour that was compared")
    expect(row).to_contain_text("-0.30%")


def which_project_is_silent(page: Page, site: Site, click: Clicks) -> None:
    click.open("Changes")
    parts = cards(page, "contributions to the change by project")
    expect(parts.first).to_be_attached()
    if site.fleet.missing:
        expect(parts.first).to_contain_text(EMOJI[:1])  # of all it lost most: three of its days are missing


def download_a_month(page: Page, site: Site, click: Clicks) -> None:
    click.open("Billing")
    with page.expect_download() as started:
        click.press("Download CSV")
    assert started.value.suggested_filename == f"fleetmeter-{site.fleet.closed}.csv"
    with Path(started.value.path()).open(encoding="utf-8", newline="") as stream:
        rows = {int(row["project_id"]): row["total_charge"] for row in csv.DictReader(stream)}
    assert sorted(rows) == sorted(site.fleet.projects)
    of_first = site.scalar(
        "SELECT total_charge FROM monthly_stats WHERE project_id = :id AND year = :year AND month = :month",
        id=site.fleet.projects[0],
        year=site.fleet.closed.year,
        month=site.fleet.closed.month,
    )
    assert Decimal(rows[site.fleet.projects[0]]) == of_first


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


ARRANGE = """
    INSERT INTO job_runs (job, period, at, trigger, requested_by, state, started_at, heartbeat_at, progress)
        VALUES ('archive', '2026-01-06', now(), 'manual', 'someone', 'running',
            now() - interval '70 seconds', now(), '{"what": "days", "done": 7, "total": 10}');
    INSERT INTO job_runs (job, period, at, trigger, requested_by, state, started_at, finished_at, errors)
        VALUES ('monthly', '2026-01', now(), 'schedule', 'schedule', 'failed', now() - interval '8 hours',
            now() - interval '8 hours', '[{"error": "no plan for tier gold"}]');
    INSERT INTO reconciliations (source, hour, theirs, ours, at)
        VALUES ('sys', date_trunc('hour', now()) - interval '1 hour', 1000, 997, now());
    UPDATE project_stats SET mqtt_inbound = 970000 WHERE project_id = :formula;
    INSERT INTO audit_log (actor, action, subject, after, reason) VALUES ('finance@example.com', 'adjust',
        'project ' || :first, '{"amount": "-12.50"}', 'agreed by phone')"""
CLEAN_UP = """
    DELETE FROM job_runs WHERE period IN ('2026-01-06', '2026-01');
    DELETE FROM reconciliations WHERE theirs = 1000;
    UPDATE project_stats SET mqtt_inbound = :used WHERE project_id = :formula"""


@pytest.fixture
def arranged(site: Site) -> Iterator[None]:
    """What the tasks ask about: a project near its limit, runs, a correction, a broker's own count."""
    formula = site.fleet.projects[HOSTILE.index(FORMULA)]
    used = site.scalar("SELECT mqtt_inbound FROM project_stats WHERE project_id = :id", id=formula)
    with site.engine.begin() as connection:
        connection.execute(text(ARRANGE), {"formula": formula, "first": str(site.fleet.projects[0])})
    yield
    with site.engine.begin() as connection:
        connection.execute(text(CLEAN_UP), {"formula": formula, "used": used})


@pytest.mark.usefixtures("arranged")
def test_ten_tasks_take_three_clicks_at_most(page: Page, site: Site) -> None:
    for task, do in TASKS.items():
        visit(page, site)
        click = Clicks(page)
        do(page, site, click)
        assert click.number <= MOST, task
        assert f"| {task} | {click.number} |" in LISTED, f"docs/console.md: {task} takes {click.number}"
