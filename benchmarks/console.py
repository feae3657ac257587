"""The console beside a bare hello page of Streamlit, on 10,000 projects with three years of days.

FLEETMETER_BENCH_PROJECTS, _RUNS and _FOLDER choose another size and where the database is kept.
"""

import itertools
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import rich.console
from rich.table import Table

from benchmarks import _console_browser as browsing
from benchmarks import _console_fleet
from benchmarks._console_server import memory, serving
from benchmarks._console_session import ConsoleSession

OUT = rich.console.Console(highlight=False, width=120)
PROJECTS = int(os.environ.get("FLEETMETER_BENCH_PROJECTS", "10000"))
RUNS = int(os.environ.get("FLEETMETER_BENCH_RUNS", "3500000"))
FOLDER = Path(os.environ.get("FLEETMETER_BENCH_FOLDER", f".fleetmeter/bench-console-{PROJECTS}"))
PAGES = (
    ("", ""), ("alerts", ""), ("project", "project=17&days=365"), ("snapshots", ""), ("limits", ""),
    ("health", ""), ("jobs", ""), ("jobs", "state=failed"), ("billing", ""),
    ("billing", f"page={PROJECTS // 500}"),
)  # fmt: skip
TTL = 16  # seconds after which the console reads its cached values again
WALK = ("jobs", "limits", "alerts", "billing", "snapshots", "project", "health", "overview")
Row = tuple[str, str, str]


def main() -> None:
    """One row for each figure, with what it must be."""
    OUT.print(f"{PROJECTS:,} projects, {RUNS:,} job runs, in {FOLDER} …", style="dim")
    url = _console_fleet.ready(FOLDER.resolve(), PROJECTS, RUNS, datetime.now(UTC))
    table = Table("what", "measured", "bound")
    with tempfile.TemporaryDirectory() as scratch:
        notes = Path(scratch) / "statements"
        variables = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "FLEETMETER_DATA_DIR": scratch,
            "FLEETMETER_BENCH_STATEMENTS": str(notes),
        }
        with serving(variables) as console, serving({}) as hello:
            for row in itertools.chain(
                statements(console, notes),
                arriving(console, hello),
                clicking(console, hello),
                rerunning(console),
                many(console),
                sessions(variables),
            ):
                OUT.print("  ", *row, style="dim")
                table.add_row(*row)
    OUT.print(table)


def statements(address: str, notes: Path) -> Iterator[Row]:
    """The slowest statement and the most rows of each page, read anew once PostgreSQL is warm."""
    first = ConsoleSession(address)
    for page, query in PAGES:
        first.show(page, query)
    first.close()
    time.sleep(TTL)
    for page, query in PAGES:
        notes.write_text("")
        session = ConsoleSession(address)
        seconds = session.show(page, query)
        session.tick()
        session.close()
        _await_quiet(notes)
        timings = [json.loads(line) for line in notes.read_text().splitlines()]
        slow, rows = max(timings, key=lambda one: one["ms"]), max(one["rows"] for one in timings)
        figures = (
            f"{slow['ms']:.0f} ms of {len(timings)}, page {seconds * 1000:.0f} ms, {rows:,} rows at most"
        )
        yield f"slowest statement, {page or 'overview'} {query}", figures, "100 ms"
        for one in sorted(timings, key=lambda one: -one["ms"]):
            if one["ms"] > 100:
                OUT.print(f"    {one['ms']:.0f} ms {one['statement'][:300]}", style="dim", markup=False)


def _await_quiet(notes: Path, seconds: float = 1.5) -> None:
    """Until no statement ended for a while: a page has what is old read anew behind its back."""
    while time.time() - notes.stat().st_mtime < seconds:
        time.sleep(0.1)


def arriving(console: str, hello: str, rounds: int = 9) -> Iterator[Row]:
    """Address to whole page, the two in turn."""
    times: dict[str, list[tuple[float, float]]] = {"floor": [], "console": []}
    with browsing.browser() as opened:
        browsing.arrivals(opened, hello, browsing.HELLO)
        browsing.arrivals(opened, console, browsing.OVERVIEW)
        for _ in range(rounds):
            times["floor"].append(browsing.arrivals(opened, hello, browsing.HELLO))
            times["console"].append(browsing.arrivals(opened, console, browsing.OVERVIEW))
    for number, (what, bound) in enumerate((("cold", 1.8), ("warm", 2.2))):
        floor, ours = (statistics.median(one[number] for one in times[who]) for who in ("floor", "console"))
        yield f"Overview {what}", f"{ours:.0f} ms, {ours / floor:.2f} × {floor:.0f} ms", f"{bound} ×"


def clicking(console: str, hello: str) -> Iterator[Row]:
    """A click to its new content: the floor's button, and a walk through every page."""
    with browsing.browser() as opened:
        page = opened.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(hello)
        page.wait_for_function(f"() => {browsing.HELLO}")
        floor = [
            browsing.after_click(
                page, "[data-testid=stButton] button", f"document.body.innerText.includes('Pressed {n} ')"
            )
            for n in range(1, 41)
        ]
        page.goto(console)
        page.wait_for_function(f"() => {browsing.OVERVIEW}")
        ours = []
        for name in WALK * 5:
            here = f"document.querySelector('h1')?.innerText.toLowerCase() === '{name}'"
            link = "a[data-testid=stSidebarNavLink]"
            path = "/" if name == "overview" else f"/{name}"
            ours.append(browsing.after_click(page, f"{link}[href$='{path}']", here))
            page.wait_for_timeout(200)
    for number, (what, bound) in enumerate((("new content", "2 ×"), ("the end of the page", ""))):
        own_times, base = [one[number] for one in ours], [one[number] for one in floor]
        slow, least, usual = _p95(own_times), _p95(base), statistics.median(own_times)
        figures = f"{slow:.0f} ms, {slow / least:.2f} × {least:.0f} ms (p50 {usual:.0f} ms)"
        yield f"click to {what}, p95", figures, bound


def rerunning(address: str) -> Iterator[Row]:
    """One person, warm caches: the server's time for a whole page."""
    session = ConsoleSession(address)
    by_page = {
        page + query: [session.show(page, query) * 1000 for _ in range(12)][2:] for page, query in PAGES
    }
    session.close()
    every = [seconds for page in by_page.values() for seconds in page]
    yield "server time per rerun, p50", f"{statistics.median(every):.0f} ms", "60 ms"
    parts = ", ".join(
        f"{page or 'overview'} {statistics.median(seconds):.0f}" for page, seconds in by_page.items()
    )
    yield "  by page, ms", parts, ""


def many(address: str, people: int = 10, seconds: float = 40) -> Iterator[Row]:
    """Ten people who think two seconds, each walking through the pages, which renew themselves."""
    times: list[float] = []
    until = time.monotonic() + seconds

    def walk(first: int) -> None:
        session = ConsoleSession(address)
        time.sleep(first * 0.2)
        for page, query in itertools.islice(itertools.cycle(PAGES), first, None):
            times.append(session.show(page, query))
            time.sleep(2)
            session.tick()
            if time.monotonic() > until:
                return session.close()

    threads = [threading.Thread(target=walk, args=(number,)) for number in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    yield f"{people} people, p95 of {len(times)}", f"{_p95(times) * 1000:.0f} ms", "500 ms"


def sessions(variables: dict[str, str], first: int = 30, more: int = 100) -> Iterator[Row]:
    """What each of `more` sessions on the Overview takes of a server's memory that has `first` already.

    A server of its own: one that has worked has room that was used before, and would seem to need none.
    """
    with serving(variables) as address, ExitStack() as stack:
        for number in range(first + more):
            if number == first:
                before = memory(address)
            session = stack.enter_context(closing(ConsoleSession(address)))
            session.show("")
            session.tick()
        each = (memory(address) - before) / more
    yield f"memory of a session, {more} beside {first}", f"{each / 1e6:.2f} MB", "1 MB"


def _p95(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[18]
