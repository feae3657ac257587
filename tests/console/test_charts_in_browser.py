"""Charts in a real browser: what is drawn is what SQL says, a click opens the hours, a swipe scrolls."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import PATIENCE, wait_until_idle
from tests.support.browser_site import Site, press, visit
from tests.support.until import until

pytestmark = [pytest.mark.browser, pytest.mark.drill, pytest.mark.timeout(400)]
CHART = ".st-key-project-trend .js-plotly-plot"
DATA = """chart => chart.data.map(trace => (
    {name: trace.name, x: trace.x, y: trace.y, colour: trace.line?.color}))"""


def chart_of(page: Page, site: Site, query: str = "") -> Any:
    """The traces of the project's chart, once it is drawn."""
    visit(page, site, f"project?project={site.fleet.projects[0]}{query}")
    page.locator(f"{CHART} .main-svg").first.wait_for()
    return page.locator(CHART).evaluate(DATA)


def test_the_first_trace_is_the_meter_as_sealed_in_the_theme_s_colour(page: Page, site: Site) -> None:
    first = chart_of(page, site)[0]
    assert first["name"] == "MQTT messages in"
    assert first["colour"] == "#1a64aa"  # of the light theme: Streamlit has replaced the placeholder
    sealed = dict(site.rows(
        "SELECT date::text, mqtt_inbound FROM daily_stats WHERE project_id = :id",
        id=site.fleet.projects[0],
    ))  # fmt: skip
    values = dict(zip(first["x"], first["y"], strict=True))
    running = max(values)
    for day, value in values.items():
        if day != running:
            assert value == sealed.get(day), day


def test_a_click_on_a_day_opens_its_hours_and_is_in_the_address(page: Page, site: Site) -> None:
    first = chart_of(page, site)[0]
    place = next(n for n in reversed(range(len(first["y"]) - 1)) if first["y"][n] is not None)
    page.locator(f"{CHART} .scatterlayer .trace .point").first.wait_for()
    page.locator(CHART).evaluate("chart => chart.scrollIntoView({block: 'center'})")
    spot = page.locator(CHART).evaluate(
        """(chart, place) => {
            const box = chart.querySelector('.nsewdrag').getBoundingClientRect();
            const axis = chart._fullLayout.xaxis;
            const at = new Date(chart.data[0].x[place] + 'T12:00:00Z').getTime();
            return [box.left + axis.d2p(at), box.top + box.height / 2];
        }""",
        place,
    )
    page.mouse.move(*spot)
    page.locator(f"{CHART} .hoverlayer .legend").wait_for()
    page.mouse.click(*spot)
    page.wait_for_url(f"**day={first['x'][place]}*")
    wait_until_idle(page)
    expect(page.get_by_role("tab", name="Hours of a day")).to_have_attribute("aria-selected", "true")


def test_a_swipe_on_a_chart_scrolls_the_page(browser: Browser, site: Site) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    chart_of(page, site)
    page.locator(CHART).evaluate("chart => chart.scrollIntoView({block: 'center'})")
    top = "() => document.querySelector('.stMain').scrollTop"
    before = page.evaluate(top)
    box = page.locator(f"{CHART} .nsewdrag").bounding_box()
    assert box is not None
    finger = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    session = context.new_cdp_session(page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [finger]})
    for number in range(1, 11):
        moved = {**finger, "y": finger["y"] + 15 * number}
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [moved]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_function(f"() => ({top})() < {before}")
    context.close()


def test_a_change_is_taken_apart_another_way(page: Page, site: Site) -> None:
    visit(page, site, "changes?where=tier:pro")
    page.locator(".st-key-changes-by").get_by_text("Organization", exact=True).click()
    page.wait_for_url("**by=organization*")
    wait_until_idle(page)
    page.get_by_role("button", name="Tier pro").click()
    page.wait_for_function("() => !location.search.includes('tier')")
    wait_until_idle(page)
    page.locator(".st-key-changes-chart .js-plotly-plot .main-svg").first.wait_for()
    changes = page.locator(".st-key-changes-chart .js-plotly-plot").evaluate("chart => chart.data[0].y")
    assert sum(changes) != 0


def test_a_view_is_saved_pinned_and_deleted(page: Page, site: Site) -> None:
    visit(page, site, "changes?by=tier")
    page.locator(".st-key-views button").first.click()
    page.get_by_label("Name", exact=True).fill("By tier")
    page.get_by_text("Pin to Overview").click()
    press(page, "view-save")
    until(lambda: site.scalar("SELECT address FROM saved_views WHERE is_pinned") == "by=tier")
    visit(page, site)
    expect(page.get_by_role("link", name="By tier")).to_have_attribute("href", "/changes?by=tier")
    visit(page, site, "changes")
    page.locator(".st-key-views button").first.click()
    page.locator("[class*='st-key-delete-view-'] button").click()
    until(lambda: site.scalar("SELECT count(*) FROM saved_views") == 0)


def test_a_note_is_written_and_deleted(page: Page, site: Site) -> None:
    project = site.fleet.projects[0]
    visit(page, site, f"project?project={project}")
    page.locator(".st-key-notes button").first.click()
    page.get_by_label("What happened").fill("broker away")
    press(page, "note-save")
    until(lambda: site.scalar("SELECT project_id FROM annotations WHERE text = 'broker away'") == project)
    names = {trace["name"] for trace in chart_of(page, site)}
    assert "Incident" in names
    page.locator(".st-key-notes button").first.click()
    page.locator("[class*='st-key-delete-note-'] button").click()
    until(lambda: site.scalar("SELECT count(*) FROM annotations") == 0)
