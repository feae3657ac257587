"""The console in a real browser: being served, over a real database, with a live runner beside it."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from playwright.sync_api import Locator, Page, TimeoutError, expect
from sqlalchemy import Engine, text

from console.views.jobs.job import JOBS
from tests.support.browser import wait_until_idle
from tests.support.drills import later
from tests.support.fleet import Fleet

# A page is still until the run that a press asks for begins.
NOTE_A_RUN = """() => {
    const app = document.querySelector('.stApp');
    window.began = false;
    new MutationObserver((_, watching) => {
        window.began = app.dataset.testScriptState !== 'notRunning';
        if (window.began) watching.disconnect();
    }).observe(app, {attributes: true, attributeFilter: ['data-test-script-state']});
}"""


@dataclass(frozen=True)
class Site:
    """A console being served, and the database behind it."""

    address: str
    engine: Engine
    fleet: Fleet

    def scalar(self, statement: str, **parameters: object) -> object:
        with self.engine.connect() as connection:
            return connection.scalar(text(statement), parameters)

    def rows(self, statement: str, **parameters: object) -> list[tuple[object, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement), parameters)]

    def row(self, statement: str, **parameters: object) -> tuple[object, ...]:
        with self.engine.connect() as connection:
            return tuple(connection.execute(text(statement), parameters).one())


def visit(page: Page, site: Site, path: str = "") -> None:
    """Open a page and wait until it is complete."""
    page.goto(f"{site.address}/{path}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    wait_until_idle(page)


def press(page: Page, key: str) -> None:
    """Press the button of that key."""
    page.locator(f".st-key-{key} button").click()


def grid(page: Page, key: str) -> Locator:
    """Return the table of that key, whose rows can be ticked."""
    return page.locator(f"[class*='st-key-{key}-']")


def listing(page: Page, alt: str) -> Locator:
    """Return the table with that alternative text."""
    return page.get_by_role("region", name=alt)


def in_turn(*now: str) -> list[object]:
    """Return every job that has a button, as test cases.

    Each run of the tests tries the jobs in `now`; only `make drill` tries the others.
    """
    return [job if job in now else later(job) for job in JOBS]


def refresh(page: Page) -> None:
    """Press Refresh and wait until the page has new figures."""
    page.evaluate(NOTE_A_RUN)
    page.get_by_role("button", name="Refresh").click()
    page.wait_for_function("() => window.began")
    wait_until_idle(page)


def tick(page: Page, key: str, row: int = 0) -> None:
    """Tick a row of the table of that key.

    The table is drawn on a canvas, so the row is found by its position.
    """
    canvas = grid(page, key).locator(".dvn-scroller").first
    canvas.evaluate("element => element.scrollIntoView({block: 'center'})")
    canvas.click(position={"x": 16, "y": 52 + 35 * row})


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of the select box of that label."""
    open_list(page, label, page.get_by_role("option", name=option, exact=True)).click()
    wait_until_idle(page)


def open_list(page: Page, label: str, option: Locator) -> Locator:
    """Open the select box of that label and return `option`.

    The list closes when the page is drawn again, so this may take several clicks. Raises AssertionError
    when the option does not appear.
    """
    box = page.get_by_role("combobox", name=label, exact=True)
    for _ in range(90):
        if box.get_attribute("aria-expanded") != "true":
            box.click()
        with suppress(TimeoutError):
            option.wait_for(timeout=1_000)
            return option
    raise AssertionError(f"{label} does not offer {option}")


def pick(page: Page, label: str, day: date) -> None:
    """Type a day into the field of that label."""
    page.get_by_role("group", name=label, exact=True).get_by_role("spinbutton").first.click()
    page.keyboard.type(f"{day:%Y%m%d}")
    page.keyboard.press("Escape")  # closes the calendar, and the day is taken
