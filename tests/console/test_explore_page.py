"""Explore in a browser: what Plotly draws and what the files hold is what SQL says."""

import csv
import io
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.support.browser import wait_until_idle
from tests.support.browser_site import Site, choose, visit
from tests.support.drills import later

pytestmark = [pytest.mark.browser, pytest.mark.drill]

# Plotly keeps numbers as typed arrays; what is read is what it draws.
DATA = """() => document.querySelector('.js-plotly-plot').data.map(trace => ({
    name: trace.name, x: Array.from(trace.x ?? []), y: Array.from(trace.y ?? [], each => each ?? null),
    type: trace.type}))"""
IS_MEASURED = (
    "coalesce(coverage->'{0}'->>'state', 'missing') NOT IN ('missing', 'not_configured', 'not_started')"
)
SOURCES = {
    "mqtt_inbound": "mqtt",
    "mqtt_outbound_bytes": "mqtt",
    "api_calls": "platform_db",
    "logs": "platform_db",
}
GROUPS = {
    "none": "''",
    "organization": "organization_id::text",
    "tier": "tier",
    "project": "project_id::text",
}
PERIODS = {
    "day": "date",
    "week": "date_trunc('week', date)::date",
    "month": "date_trunc('month', date)::date",
}


def series_of(page: Page) -> list[dict[str, Any]]:
    """The traces of the page's first chart that are series: not marks, bands or comparisons."""
    page.wait_for_function("() => document.querySelector('.js-plotly-plot')?.data?.length > 0")
    traces: list[dict[str, Any]] = page.evaluate(DATA)
    full = [trace for trace in traces if trace["name"] != "Not measured whole" and len(trace["y"]) > 2]
    return [trace for trace in full if trace["name"] != "Unknown"]


def sums_by_sql(
    site: Site, meter: str, by: str, grain: str, first: str, last: str
) -> dict[str, dict[str, int]]:
    """Sums of the sealed days by group and period, in plain SQL over daily_stats."""
    query = f"""SELECT {GROUPS[by]} AS label, {PERIODS[grain]}::text AS period, sum({meter})::bigint
        FROM daily_stats WHERE date BETWEEN CAST(:first AS date) AND CAST(:last AS date)
            AND {IS_MEASURED.format(SOURCES[meter])}
        GROUP BY 1, 2"""
    sums: dict[str, dict[str, int]] = {}
    for label, period, value in site.rows(query, first=first, last=last):
        sums.setdefault(str(label), {})[str(period)] = int(str(value))
    return sums


def downloaded(page: Page, key: str) -> Path:
    with page.expect_download() as download:
        page.locator(f".st-key-{key} button").click()
    return Path(download.value.path())


COMBINATIONS = [
    (meter, by, grain, look)
    for meter in SOURCES
    for by in GROUPS
    for grain, look in (("day", "line"), ("week", "bar"), ("month", "line"))
]
FAST = {
    ("mqtt_inbound", "project", "day", "line"),
    ("mqtt_outbound_bytes", "tier", "week", "bar"),
    ("mqtt_inbound", "organization", "month", "line"),
}


@pytest.mark.parametrize(
    ("meter", "by", "grain", "look"),
    [each if each in FAST else later(*each) for each in COMBINATIONS],
)
def test_the_chart_and_the_files_are_what_sql_says(
    page: Page, site: Site, meter: str, by: str, grain: str, look: str
) -> None:
    first, last = str(site.fleet.closed.first), str(site.fleet.closed.last)
    visit(
        page, site, f"explore?meters={meter}&by={by}&grain={grain}&as={look}&from={first}&to={last}&top=all"
    )
    sums = sums_by_sql(site, meter, by, grain, first, last)
    if not sums:
        expect(page.get_by_text("Nothing is known of this range")).to_be_visible()
        return
    table = list(csv.reader(io.StringIO(downloaded(page, "explore-csv").read_text(encoding="utf-8"))))
    columns = [
        [int(row[number]) if row[number] else None for row in table[1:]]
        for number in range(1, len(table[0]) - 1)
    ]
    values = [[sums[label].get(period) for period in sorted(_periods(sums))] for label in sums]
    assert sorted(map(str, columns)) == sorted(map(str, values))
    if len(_periods(sums)) > 2:
        assert sorted(str(trace["y"]) for trace in series_of(page)) == sorted(map(str, values))


def _periods(sums: dict[str, dict[str, int]]) -> set[str]:
    return {period for group in sums.values() for period in group}


def test_a_question_is_chosen_and_kept_in_the_address(page: Page, site: Site) -> None:
    visit(page, site, "explore")
    choose(page, "By", "Tier")
    choose(page, "As", "Stacked area")
    choose(page, "Range", "7 days")
    parameters = {"by": "tier", "range": "7d", "as": "area"}
    page.wait_for_url(lambda url: parameters.items() <= dict(parse_qsl(urlsplit(url).query)).items())
    page.reload()
    wait_until_idle(page)
    traces = series_of(page)
    assert [trace["name"] for trace in traces] == ["starter"]
    assert len(traces[0]["x"]) == 7


def test_a_question_is_narrowed_to_what_is_found(page: Page, site: Site) -> None:
    project = site.fleet.projects[2]
    visit(page, site, "explore?range=7d")
    page.get_by_role("button", name="Filters").click()
    page.locator(".st-key-explore-words input").fill(str(project))
    page.keyboard.press("Enter")
    wait_until_idle(page)
    page.locator(".st-key-explore-filters").get_by_role("combobox").click()
    page.get_by_role("option").filter(has_text=f"project {project}").first.click()
    page.wait_for_url(f"**where=project%3A{project}*")


def test_a_click_leads_to_the_hours_and_back(page: Page, site: Site) -> None:
    visit(page, site, "explore?range=7d")
    series_of(page)
    page.evaluate("() => document.querySelector('.js-plotly-plot').scrollIntoView({block: 'center'})")
    page.locator(".js-plotly-plot .scatterlayer .point").nth(2).click(force=True)
    page.wait_for_url("**grain=hour*")
    wait_until_idle(page)
    page.locator("[class*='st-key-explore-back-'] button").click()
    page.wait_for_url("**range=7d*")


def test_wrong_values_of_an_address_are_named(page: Page, site: Site) -> None:
    visit(
        page,
        site,
        "explore?meters=nope&by=planet&top=0&where=planet:7&grain=era&as=pie&vs=god&align=star&range=x",
    )
    for name in (
        "meters = nope",
        "by = planet",
        "top = 0",
        "where = planet",
        "grain = era",
        "as = pie",
        "range = x",
    ):
        expect(page.get_by_text(f"The address says {name}")).to_be_visible()
