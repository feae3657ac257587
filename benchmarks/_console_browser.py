"""What a person waits for, in headless Chromium: milliseconds from the click or the address to the page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

# What people have before what tests use: without what a desktop needs a bare page is there a third sooner.
PROGRAMS = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update")  # fmt: skip
ENDED = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
HELLO = f"{ENDED} && document.querySelectorAll('[data-testid=stMarkdown]').length > 0"
OVERVIEW = f"""{ENDED} && document.querySelectorAll('[data-testid=stMetricValue]').length >= 4
    && document.querySelectorAll('[data-testid=stVegaLiteChart] :is(svg, canvas)').length
    && document.querySelectorAll('[data-testid=stHtml] table tbody tr').length >= 10"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium, without what it does for itself."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield launched
        launched.close()


def arrivals(opened: Browser, address: str, whole: str) -> tuple[float, float]:
    """Milliseconds from the address to the whole page: with an empty cache, and once more."""
    context = opened.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.goto(address)
    cold = _whole(page, whole)
    page.goto("about:blank")
    page.goto(address)
    warm = _whole(page, whole)
    context.close()
    return cold, warm


def _whole(page: Page, condition: str) -> float:
    page.wait_for_function(f"() => {condition}", polling="raf", timeout=60_000)
    return float(page.evaluate("performance.now()"))


def after_click(page: Page, selector: str, condition: str) -> tuple[float, float]:
    """Milliseconds from a click to its new content, and to the end of the script, by the page's clock."""
    page.wait_for_selector(selector)
    new, ended = page.evaluate(
        f"""selector => new Promise(done => {{
            const began = performance.now();
            let seen = 0;
            document.querySelector(selector).click();
            const look = () => {{
                if (!seen && {condition}) seen = performance.now() - began;
                if (seen && {ENDED}) done([seen, performance.now() - began]);
                else requestAnimationFrame(look);
            }};
            requestAnimationFrame(look);
        }})""",
        selector,
    )
    return float(new), float(ended)
