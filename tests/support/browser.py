"""Chromium without a window, and waiting for a page that Streamlit draws."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

# The first is the same without what a desktop needs: it starts sooner and takes less of a core.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, PROGRAMS)), None)
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 90_000  # milliseconds; a loaded machine is slow, a broken page is never


@contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium.

    Without one, the test is skipped, or in CI fails.
    """
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("there is no Chromium; `make extras` installs it")
        pytest.skip("there is no Chromium, so no page was opened in a browser; `make extras` installs it")
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE)
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield launched
        launched.close()


def wait_until_idle(page: Page) -> None:
    """Wait until no script runs and no element is stale."""
    page.wait_for_function(
        "() => !document.querySelector('[data-testid=stStatusWidget]') &&"
        " document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
    )
