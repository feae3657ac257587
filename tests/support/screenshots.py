"""Pictures of every page: light and dark, for a desk and for a phone, of a demo started for it.

`make screenshots` writes them to build/screenshots; those that the README shows go to docs/screenshots.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser

from console.pages import TITLES
from tests.support.browser import chromium, wait_until_idle
from tests.support.fleet import answer
from tests.support.ports import free_port
from tests.support.until import until

WIDTHS, SCHEMES = (1440, 390), ("light", "dark")
PUBLISHED = (  # docs/console.md has each page; README and docs/index.md some in the other scheme
    *(f"{name}-{look}" for name in TITLES for look in ("light", "dark-390")),
    *("explore-dark", "project-dark", "limits-dark", "billing-dark"),
)
PATIENCE = 120_000  # milliseconds
ROOT = Path(__file__).parents[2]


@contextmanager
def demo(folder: Path) -> Iterator[str]:
    """Run the demo and yield its address.

    Its history is in `folder` and is kept for the next time.
    """
    port = free_port()
    command = [sys.executable, "-m", "fleetmeter.cli", "demo", "--port", str(port)]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("DATABASE", "DB_"))
    }
    process = subprocess.Popen(command, env={**environment, "FLEETMETER_DATA_DIR": str(folder)})
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(10):  # the history takes a minute or two, ten on a busy machine
            if ready(address, process):
                break
        yield address
    finally:
        process.terminate()
        process.wait(60)


def ready(address: str, process: "subprocess.Popen[bytes]") -> bool:
    """Return whether the console answers within 90 seconds.

    Raises SystemExit when the demo has ended.
    """
    try:
        until(lambda: answer(f"{address}/readyz")[1] == "ready\n" or process.poll() is not None)
    except AssertionError:
        return False
    if process.poll() is not None:
        raise SystemExit("the demo ended before its console answered")
    return True


def take(browser: Browser, address: str, folder: Path) -> None:
    """Save pictures of every page in each width and scheme.

    They are `<page>-<scheme>.png`, with `-390` for the phone, and `-whole` for a page in its full height.
    """
    for width in WIDTHS:
        for scheme in SCHEMES:
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
            context.set_default_timeout(PATIENCE)
            for name in TITLES:
                page = context.new_page()
                page.goto(f"{address}/{name}")
                page.get_by_role("heading", level=1).wait_for()
                wait_until_idle(page)
                page.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
                page.wait_for_timeout(1500)  # charts draw themselves after the page has come to rest
                tail = "" if width == WIDTHS[0] else f"-{width}"
                save(page.screenshot(), folder / f"{name}-{scheme}{tail}.png")
                tall = page.evaluate("() => document.querySelector('.stMain').scrollHeight")
                page.set_viewport_size({"width": width, "height": min(tall, 4_000)})
                page.wait_for_timeout(800)
                save(page.screenshot(), folder / f"{name}-{scheme}{tail}-whole.png")
                page.close()
            context.close()


def save(picture: bytes, path: Path) -> None:
    """Save a picture with 64 colours.

    Its file is a third of the size of one with all colours.
    """
    image = Image.open(BytesIO(picture)).convert("RGB")
    image.quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def main() -> None:
    """Take all pictures, and renew those of the README."""
    folder, published = ROOT / "build" / "screenshots", ROOT / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    with demo(ROOT / "build" / "screenshots-demo") as address, chromium() as browser:
        take(browser, address, folder)
    for name in PUBLISHED:
        (published / f"{name}.png").write_bytes((folder / f"{name}.png").read_bytes())


if __name__ == "__main__":
    main()
