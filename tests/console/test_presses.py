"""Every other button and control, pressed in a browser; SQL, the file or the address says what it did."""

import csv
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pyarrow import parquet
from sqlalchemy import text

from console.pages import SECTIONS, TITLES
from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.proof import offline
from tests.support.browser_site import (
    Site,
    choose,
    in_turn,
    listing,
    open_list,
    pick,
    press,
    refresh,
    tick,
    visit,
    wait_until_idle,
)
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def logged(site: Site, action: str) -> object:
    """Who did that last, and whether before and after are kept."""
    return site.row(
        """SELECT actor, after IS NOT NULL FROM audit_log WHERE action = :action
        ORDER BY id DESC LIMIT 1""",
        action=action,
    )


@pytest.mark.drill
def test_the_navigation_leads_to_every_page(page: Page, site: Site) -> None:
    visit(page, site)
    for key in (key for keys in SECTIONS.values() for key in keys):
        page.get_by_test_id("stSidebarNavLink").filter(has_text=TITLES[key][0]).click()
        expect(page.get_by_role("heading", level=1, name=TITLES[key][0], exact=True)).to_be_visible()
        wait_until_idle(page)
        assert page.get_by_text("could not be shown").count() == 0


def test_what_is_wrong_leads_to_the_page_that_mends_it(page: Page, site: Site) -> None:
    if not site.fleet.missing:
        pytest.skip("too early in the month for missing days")
    visit(page, site)
    page.locator("[class*=-problem-]").get_by_role("link", name="Snapshots", exact=True).first.click()
    expect(page.get_by_role("heading", level=1, name="Snapshots")).to_be_visible()


@pytest.mark.parametrize("job", in_turn("hourly"))
def test_a_preview_of_a_job_changes_nothing(page: Page, site: Site, live_runner: None, job: str) -> None:
    before = site.scalar("SELECT count(*) FROM monthly_stats")
    visit(page, site, "jobs")
    page.locator(f".st-key-preview-{job} button").dblclick()
    expect(page.get_by_text(f"Preview: {job}").first).to_be_visible()
    trials = "SELECT array_agg(state) FROM job_runs WHERE job = :job AND dry_run"
    until(lambda: site.scalar(trials, job=job) == ["succeeded"])
    assert site.scalar("SELECT count(*) FROM monthly_stats") == before
    assert logged(site, "preview") == ("console", True)
    page.get_by_text("Hide previews").click()
    page.wait_for_url("**previews=hidden**")


def dead_letters(site: Site, periods: tuple[str, ...]) -> None:
    with site.engine.begin() as connection:
        for period in periods:
            connection.execute(
                text("""
                    INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at, errors)
                    VALUES ('daily', :period, now(), 'schedule', 'schedule', 'dead', now(), '[]')"""),
                {"period": period},
            )


def test_dead_letters_are_tried_again_or_discarded(page: Page, site: Site) -> None:
    dead_letters(site, ("2026-01-05", "2026-01-06"))
    visit(page, site, "jobs")
    choose(page, "Job that failed", "daily")
    page.get_by_text("Dead letters", exact=True).click()
    wait_until_idle(page)
    press(page, "retry-all")
    again = """SELECT count(*) FROM job_runs WHERE trigger = 'retry'
        AND period IN ('2026-01-05', '2026-01-06') AND state = 'queued'"""
    until(lambda: site.scalar(again) == 2)
    assert logged(site, "retry") == ("console", True)
    visit(page, site, "jobs")
    press(page, "discard")
    page.get_by_role("dialog").get_by_role("button", name="Discard").dblclick()
    until(lambda: site.scalar("SELECT count(*) FROM job_runs WHERE state = 'dead'") == 0)
    assert logged(site, "discard") == ("console", True)
    with site.engine.begin() as connection:
        connection.execute(text("DELETE FROM job_runs WHERE period IN ('2026-01-05', '2026-01-06')"))


@pytest.mark.drill
def test_history_is_filtered_and_leafed_through(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO job_runs (job, period, at, trigger, requested_by, state, finished_at)
                SELECT 'archive', 'p' || n, now(), 'manual', 'someone', 'cancelled', now()
                FROM generate_series(1, 60) n""")
        )
    visit(page, site, "jobs")
    choose(page, "Job", "archive")
    page.wait_for_url("**job=archive*")
    choose(page, "State", "Cancelled")
    page.wait_for_url("**state=cancelled*")
    press(page, "older")
    page.wait_for_url("**before=*")
    wait_until_idle(page)
    press(page, "newest")
    page.wait_for_url(lambda url: "before=" not in url)
    assert "job=archive" in page.url


def test_the_doctor_examines(page: Page, site: Site) -> None:
    visit(page, site, "health")
    press(page, "doctor")
    expect(listing(page, "What the doctor checked, with what to do")).to_be_visible()


def test_an_alert_is_looked_after(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO alerts (kind, severity, subject, detail, opened_at, resolved_at) VALUES
                ('limit', 'critical', 'near the edge', '{}', now(), NULL),
                ('limit', 'warning', 'long over', '{}', now(), now())""")
        )
    visit(page, site, "alerts")
    choose(page, "Kind", "limit")
    page.wait_for_url("**kind=limit*")
    choose(page, "Severity", "critical")
    page.wait_for_url("**severity=critical*")
    page.get_by_label("Project or organization").fill("Nobody")
    page.keyboard.press("Enter")
    page.wait_for_url("**search=Nobody*")
    page.get_by_label("Project or organization").fill("")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "search=" not in url)
    choose(page, "Acknowledged", "no")
    page.wait_for_url("**acknowledged=no*")
    page.get_by_text("Include resolved").click()
    wait_until_idle(page)
    tick(page, "alerts")
    page.wait_for_url("**incident=*")
    press(page, "acknowledge")
    page.get_by_label("What is being done about it").fill("a new disk is on its way")
    page.get_by_role("dialog").get_by_role("button", name="Acknowledge").dblclick()
    until(lambda: site.scalar("SELECT acknowledged_by FROM alerts WHERE subject = 'near the edge'"))
    assert site.row("SELECT actor, reason FROM audit_log WHERE action = 'acknowledge'") == (
        "console",
        "a new disk is on its way",
    )
    expect(page.locator(".st-key-acknowledge")).to_be_hidden()


def test_an_incident_is_mended_where_it_is_listed(page: Page, site: Site) -> None:
    with site.engine.begin() as connection:
        detail = '{"source": "s3", "failure": "denied", "run": 1, "error": "access denied"}'
        number = connection.scalar(
            text("""INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at)
                VALUES ('source_failed', 'critical', :id, 's3', CAST(:detail AS jsonb), now())
                RETURNING id"""),
            {"id": site.fleet.projects[0], "detail": detail},
        )
    visit(page, site)
    refresh(page)
    press(page, f"remedy-problems-{number}")
    page.get_by_role("dialog").get_by_role("button", name="Read S3 now").click()
    newest_run = """SELECT project_id FROM job_runs WHERE job = 'hourly' AND requested_by = 'console'
        ORDER BY id DESC LIMIT 1"""
    until(lambda: site.scalar(newest_run) == site.fleet.projects[0])


def test_thresholds_and_budgets_are_set(page: Page, site: Site) -> None:
    visit(page, site, "alerts")
    page.get_by_text("Own thresholds and budgets").click()
    organization = str(site.scalar("SELECT min(id) FROM organizations"))
    page.get_by_label("Customer's id").fill(organization)
    page.get_by_label("Percent, separated by commas").fill("50, 90")
    press(page, "set-thresholds")
    until(lambda: site.scalar("SELECT percents FROM alert_thresholds") == [50, 90])
    wait_until_idle(page)
    page.get_by_label("Its id").fill(organization)
    page.get_by_label("Amount a month").fill("99.5")
    press(page, "set-budget")
    until(lambda: site.scalar("SELECT amount FROM budgets") == Decimal("99.5"))
    assert site.scalar("SELECT count(*) FROM audit_log WHERE action IN ('thresholds', 'budget')") == 2


@pytest.mark.drill
def test_a_project_is_looked_at_by_meter_range_and_hour(page: Page, site: Site) -> None:
    visit(page, site, f"project?project={site.fleet.projects[0]}")
    choose(page, "Meter", "MQTT messages out")
    page.wait_for_url("**meter=mqtt_outbound*")
    page.get_by_text("7 days", exact=True).click()
    page.wait_for_url("**days=7*")
    wait_until_idle(page)
    for tab in ("Table", "Coverage", "Chart", "Hours of a day"):
        page.get_by_role("tab", name=tab).click()
    yesterday = Day.of(datetime.now(UTC)).previous()
    pick(page, "Day", yesterday.date)
    expect(
        page.get_by_role("tabpanel").filter(has_text="Day").locator("[data-testid=stDataFrame]").last
    ).to_be_visible()
    assert page.get_by_text("could not be shown").count() == 0


@pytest.mark.drill
def test_the_matrix_is_leafed_through(page: Page, site: Site) -> None:
    platform = Platform(site.engine)
    organization = platform.organization("free", name="Many")
    for number in range(60):
        platform.project(organization, name=f"one of many {number}")
    try:
        visit(page, site, "snapshots")
        press(page, "matrix-next")
        wait_until_idle(page)
        press(page, "matrix-first")
        wait_until_idle(page)
        expect(page.locator(".st-key-matrix-first button")).to_be_disabled()
    finally:
        platform.sql("DELETE FROM projects WHERE name LIKE 'one of many%'")


@pytest.fixture
def forgotten(site: Site) -> Iterator[Day]:
    """Yesterday, which a project of its own misses; the newest one, so the last in the list."""
    day = Day.of(datetime.now(UTC)).previous()
    project = Platform(site.engine).project(created_at=day.start, name="forgot a day")
    with site.engine.begin() as connection:
        projects.ensure(connection, [project], day.start)
        passed = "UPDATE project_stats SET open_from = :end WHERE project_id = :id"
        connection.execute(text(passed), {"end": day.end, "id": project})
    yield day
    with site.engine.begin() as connection:
        for table, key in (("project_stats", "project_id"), ("projects", "id")):
            connection.execute(text(f"DELETE FROM {table} WHERE {key} = :id"), {"id": project})


@pytest.mark.drill
def test_a_preview_of_a_backfill_changes_nothing(
    page: Page, site: Site, live_runner: None, forgotten: Day
) -> None:
    before = site.scalar("SELECT count(*) FROM daily_stats")
    visit(page, site, "snapshots")
    refresh(page)  # what another test did may still be shown for a moment
    tick(page, "missing", row=1 if site.fleet.missing else 0)
    expect(page.get_by_text("1 ticked project")).to_be_visible()
    wait_until_idle(page)  # what is drawn anew closes the list again
    open_list(page, "Days to repair", page.get_by_role("option", name=str(forgotten))).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Backfill 1 missing day")).to_be_visible()
    press(page, "preview-backfill")
    trial = "SELECT array_agg(state) FROM job_runs WHERE job = 'backfill' AND dry_run"
    until(lambda: site.scalar(trial) == ["succeeded"])
    expect(page.get_by_text("The run would do exactly this")).to_be_visible()
    assert site.scalar("SELECT count(*) FROM daily_stats") == before


def test_the_range_of_days_is_chosen_and_kept_in_the_address(page: Page, site: Site) -> None:
    yesterday = Day.of(datetime.now(UTC)).previous().date
    visit(page, site, "snapshots")
    pick(page, "From", yesterday - timedelta(days=1))
    page.wait_for_url(f"**from={yesterday - timedelta(days=1)}*")
    wait_until_idle(page)
    expect(page.get_by_text(f"No day is missing from {yesterday - timedelta(days=1)}")).to_be_visible()
    pick(page, "To", yesterday - timedelta(days=1))
    page.wait_for_url(f"**to={yesterday - timedelta(days=1)}*")
    page.get_by_role("tab", name="Table").click()
    expect(listing(page, "Projects sealed and missing by day")).to_be_visible()
    page.get_by_role("tab", name="Calendar").click()
    calendar = page.get_by_role("figure", name="How many projects miss each day")
    expect(calendar).to_be_visible()
    pick(page, "From", yesterday - timedelta(days=3))
    page.wait_for_url(f"**from={yesterday - timedelta(days=3)}*")
    wait_until_idle(page)
    day = yesterday - timedelta(days=2)
    calendar.scroll_into_view_if_needed()
    place = calendar.evaluate(CELL, [str(day - timedelta(days=day.weekday())), f"{day:%a}"])
    page.mouse.move(*place)
    page.mouse.click(*place)
    page.wait_for_url(f"**from={day}*to={day}*")


# Where the cell of a week and a weekday is on the screen.
CELL = """(figure, [week, weekday]) => {
    const chart = figure.querySelector('.js-plotly-plot'), {xaxis, yaxis} = chart._fullLayout;
    const box = chart.querySelector('.nsewdrag').getBoundingClientRect();
    return [box.left + xaxis.d2p(week), box.top + yaxis.d2p(weekday)];
}"""


@pytest.mark.drill
def test_the_matrix_is_narrowed_to_a_source_and_to_what_is_missing(page: Page, site: Site) -> None:
    visit(page, site, "snapshots")
    refresh(page)
    tall = "element => element.getBoundingClientRect().height"
    matrix = listing(page, "How well each project's days were measured")
    before = matrix.evaluate(tall)
    choose(page, "Source", "S3")
    page.wait_for_url("**source=s3*")
    wait_until_idle(page)
    page.get_by_text("Only with missing, partial or carried-over days").click()
    page.wait_for_url("**only=missing*")
    wait_until_idle(page)
    if site.fleet.missing:
        assert matrix.evaluate(tall) < before
    else:
        expect(page.get_by_text("were read whole")).to_be_visible()


def test_the_overviews_chart_has_its_table_beside_it(page: Page, site: Site) -> None:
    visit(page, site)
    page.get_by_role("tab", name="Table").click()
    expect(listing(page, "Usage of the whole fleet by day")).to_be_visible()
    page.get_by_role("tab", name="Chart").click()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()


@pytest.mark.drill
def test_an_unusual_day_is_chosen_and_shown_beside_what_was_expected(page: Page, site: Site) -> None:
    day = Day.of(datetime.now(UTC)).previous().date
    with site.engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at)
                SELECT 'anomaly', 'warning', :id, :day, jsonb_build_object(
                    'date', CAST(:day AS text), 'meters',
                    jsonb_agg(part)) || jsonb_agg(part)->0, now()
                FROM unnest(ARRAY['mqtt_inbound', 'mqtt_outbound']) meter, jsonb_build_object(
                    'meter', meter, 'expected_low', 1, 'expected_high', 2, 'actual', 9) part"""),
            {"id": site.fleet.projects[1], "day": str(day)},
        )
    visit(page, site, "alerts?kind=anomaly")
    tick(page, "alerts")
    for label in ("MQTT messages out", "MQTT messages in"):
        choose(page, "Compare with expected range", label)
        page.get_by_role("tab", name="Chart").click()
        expect(page.locator(".st-key-expected .js-plotly-plot")).to_be_visible()
        page.get_by_role("tab", name="Table").click()
        expect(listing(page, "Each day's usage and what was expected")).to_be_visible()


def test_the_parquet_is_the_csv_is_the_digest_shown(page: Page, site: Site, tmp_path: Path) -> None:
    visit(page, site, f"billing?month={site.fleet.closed}")
    page.get_by_text("Show the file's SHA-256").click()
    digest = page.get_by_text("SHA-256 of the CSV: ").inner_text().rpartition(" ")[2]
    for kind, name in (("csv", "Download CSV"), ("parquet", "Download Parquet")):
        with page.expect_download() as started:
            page.get_by_role("button", name=name).click()
        started.value.save_as(tmp_path / f"bills.{kind}")
    content = (tmp_path / "bills.csv").read_bytes()
    assert hashlib.sha256(content).hexdigest() == digest
    rows = list(csv.DictReader(content.decode().splitlines()))
    table = parquet.read_table(tmp_path / "bills.parquet").to_pylist()
    assert [row["project_id"] for row in rows] == [str(row["project_id"]) for row in table]
    assert [float(row["total_charge"]) for row in rows] == [float(row["total_charge"]) for row in table]
    sealed = site.scalar("SELECT array_agg(seal ORDER BY organization_id, project_id) FROM monthly_stats")
    assert [row["seal"] for row in rows] == sealed


@pytest.mark.drill
def test_the_manifest_verifies_both_downloads(page: Page, site: Site, tmp_path: Path) -> None:
    visit(page, site, f"billing?month={site.fleet.closed}")
    for name in ("Download CSV", "Download Parquet", "Download manifest"):
        with page.expect_download() as started:
            page.get_by_role("button", name=name).click()
        started.value.save_as(tmp_path / started.value.suggested_filename)
    for ending in ("csv", "parquet"):
        check = offline.examine([tmp_path / f"fleetmeter-{site.fleet.closed}.{ending}"])
        assert (check.discrepancies, check.notes) == ([], [])
    path = tmp_path / f"fleetmeter-{site.fleet.closed}.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert "but its manifest says" in offline.examine([path]).discrepancies[0]


def test_a_bill_that_is_ticked_unfolds_to_its_hours(page: Page, site: Site) -> None:
    visit(page, site, f"billing?month={site.fleet.closed}")
    tick(page, "bills")
    page.wait_for_url("**project=*")
    lines = listing(page, "Lines of the bill")
    expect(lines).to_contain_text("MQTT messages in")
    project = int(page.url.rpartition("project=")[2])
    total = site.scalar("SELECT total_charge::text FROM monthly_stats WHERE project_id = :id", id=project)
    expect(lines).to_contain_text(str(total))
    page.get_by_text("MQTT messages in, Starter tier:").first.click()
    expect(page.get_by_text("included").last).to_be_visible()
    tick(page, "days-1")
    expect(page.get_by_role("region", name="MQTT messages in by hour of")).to_be_visible()
    page.get_by_text("Proof").click()
    seal = site.scalar("SELECT seal FROM monthly_stats WHERE project_id = :id", id=project)
    expect(page.get_by_text(f"seal {seal}")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("Tick a bill")).to_be_visible()


@pytest.mark.drill
def test_revenue_is_split_and_kept_in_the_address(page: Page, site: Site) -> None:
    visit(page, site, f"billing?month={site.fleet.closed}")
    page.get_by_text("By tier", exact=True).click()
    page.wait_for_url("**revenue=tier*")
    page.get_by_text("As billed", exact=True).first.click()
    page.wait_for_url("**amounts=as_billed*")
    wait_until_idle(page)
    chart = page.locator(".js-plotly-plot").first
    expect(chart).to_be_visible()
    named = chart.evaluate("plot => plot.data.map(trace => trace.name)")
    assert "starter tier" in named


@pytest.mark.drill
def test_a_customer_is_found_and_its_file_is_its_bills(page: Page, site: Site, tmp_path: Path) -> None:
    organization = site.scalar(
        "SELECT organization_id FROM projects WHERE id = :id", id=site.fleet.projects[0]
    )
    visit(page, site, "customers")
    page.get_by_label("Find").fill(str(organization))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**words={organization}*")
    expect(page.get_by_role("heading", name="1 customer")).to_be_visible()
    choose(page, "Sort by", "Last month")
    page.wait_for_url("**sort=last_month*")
    visit(page, site, f"customers?organization={organization}")
    expect(page.get_by_text("Bill so far").first).to_be_visible()
    with page.expect_download() as started:
        page.get_by_role("button", name="Download this customer's bills").click()
    started.value.save_as(tmp_path / "bills.csv")
    with (tmp_path / "bills.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    own = "SELECT count(*) FROM monthly_stats WHERE organization_id = :id"
    assert len(rows) == site.scalar(own, id=organization)
    assert {row["organization_id"] for row in rows} == {str(organization)}
    assert started.value.suggested_filename == f"fleetmeter-bills-of-customer-{organization}.csv"


def test_a_limit_is_found_and_its_burn_down_names_the_day(page: Page, site: Site) -> None:
    project = site.fleet.projects[0]
    visit(page, site, f"limits?project={project}")
    choose(page, "Meter", "MQTT messages in")
    page.wait_for_url("**meter=mqtt_inbound*")
    chart = page.locator(".js-plotly-plot").first
    expect(chart).to_be_visible()
    traces = chart.evaluate("plot => plot.data.map(trace => [trace.name, Array.from(trace.y)])")
    used = site.scalar("SELECT mqtt_inbound FROM project_stats WHERE project_id = :id", id=project)
    assert dict(traces)["Used this month"][-1] == used
    page.get_by_text("Limits of every project").click()
    page.wait_for_url(lambda url: "project=" not in url)
    wait_until_idle(page)
    page.get_by_text("All", exact=True).click()
    page.wait_for_url("**share=0*")
    choose(page, "Sort by", "Used")
    page.wait_for_url("**sort=used*")
    page.get_by_label("Find").fill("no such project")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=*")
    expect(page.get_by_text("Nobody has used")).to_be_visible()


def test_a_correction_is_posted_once_and_reversed(page: Page, site: Site) -> None:
    visit(page, site, f"billing?month={Month.of(datetime.now(UTC))}")
    page.get_by_text("Post an adjustment").click()
    page.get_by_label("Project id").fill(str(site.fleet.projects[1]))
    page.get_by_label("Amount (negative to credit)").fill("-12.50")
    page.get_by_label("Reason", exact=True).fill("=cmd|' /C calc'!A0")
    page.get_by_role("button", name="Post it").dblclick()
    expect(page.get_by_text("is posted")).to_be_visible()
    wait_until_idle(page)
    assert site.scalar("SELECT count(*) FROM adjustments") == 1
    visit(page, site, f"billing?month={Month.of(datetime.now(UTC))}")
    tick(page, "adjustments")
    page.get_by_label("is reversed").fill("it was right")
    page.get_by_role("button", name="Reverse adjustment").dblclick()
    until(lambda: site.scalar("SELECT sum(amount) FROM adjustments") == 0)
    assert site.scalar("SELECT count(*) FROM adjustments") == 2
    expect(page.get_by_text("reverses 1.")).to_be_visible()
    # Where it stood, its reversal stands now: that one is not ticked, so a third press cannot undo it.
    expect(page.get_by_role("button", name="Reverse adjustment")).to_have_count(0)
    assert site.scalar("SELECT array_agg(DISTINCT actor) FROM adjustments") == ["console"]


@pytest.mark.drill
def test_a_correction_is_of_the_day_and_meter_that_were_chosen(page: Page, site: Site) -> None:
    yesterday = Day.of(datetime.now(UTC)).previous().date
    visit(page, site, f"billing?month={Month.of(datetime.now(UTC))}")
    page.get_by_text("Post an adjustment").click()
    page.get_by_label("Project id").fill(str(site.fleet.projects[0]))
    pick(page, "About the day", yesterday)
    choose(page, "Corrects", "api_calls")
    page.get_by_label("Amount (negative to credit)").fill("many")
    page.get_by_label("Reason", exact=True).fill("counted twice")
    press(page, "adjust-post")
    expect(page.get_by_text("takes a whole number like")).to_be_visible()
    page.get_by_label("Amount (negative to credit)").fill("-500")
    press(page, "adjust-post")
    expect(page.get_by_text("is posted")).to_be_visible()
    adjustment = "SELECT meter, quantity, usage_date FROM adjustments WHERE reason = 'counted twice'"
    assert site.row(adjustment) == ("api_calls", -500, yesterday)
