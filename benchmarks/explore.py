"""Explore on 10,000 projects with three years of days and 90 days of hours, beside a bare page of Streamlit.

The settings are those of `benchmarks.console`, whose database it uses. Each address is asked for once in a
server that has cached nothing for it.
"""

import itertools
import os
import statistics
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from rich.table import Table
from sqlalchemy import create_engine, text

from benchmarks import _console_browser as browsing
from benchmarks import _console_fleet
from benchmarks._console_server import serving
from benchmarks._console_session import ConsoleSession
from benchmarks.console import FOLDER, OUT, PROJECTS, RUNS, Row, _p95

ROUNDS = int(os.environ.get("FLEETMETER_BENCH_ROUNDS", "2"))
METERS = ("mqtt_inbound", "mqtt_outbound_bytes", "api_calls", "logs", "data_transfer_bytes")
WHOLE = f"{browsing.ENDED} && document.querySelector('.js-plotly-plot .scatterlayer .js-line') !== null"
# Range, group, and the bound of the 95th percentile in milliseconds.
QUESTIONS = (
    ("13 months", "organization", 400),
    ("13 months", "tier", 400),
    ("13 months", "project", 1_000),
    ("3 years", "organization", 1_000),
    ("3 years", "tier", 1_000),
    ("3 years", "project", 3_000),
)


def main() -> None:
    """One row for each figure, with its bound."""
    OUT.print(f"{PROJECTS:,} projects in {FOLDER} …", style="dim")
    url = _console_fleet.ready(FOLDER.resolve(), PROJECTS, RUNS, datetime.now(UTC))
    _hours(url)
    table = Table("what", "measured", "bound")
    with tempfile.TemporaryDirectory() as scratch:
        variables = {
            "DATABASE_URL": url.render_as_string(hide_password=False),
            "FLEETMETER_DATA_DIR": scratch,
            "FLEETMETER_BENCH_STATEMENTS": f"{scratch}/statements",
        }
        with serving(variables) as console, serving({}) as hello:
            for row in itertools.chain(arriving(console, hello), changing(console)):
                OUT.print("  ", *row, style="dim")
                table.add_row(*row)
    OUT.print(table)


def arriving(console: str, hello: str, rounds: int = 5) -> Iterator[Row]:
    """From the address to the whole page with an empty cache, the two in turn."""
    floor, ours = [], []
    with browsing.browser() as opened:
        for _ in range(rounds + 1):
            floor.append(browsing.arrivals(opened, hello, browsing.HELLO)[0])
            ours.append(browsing.arrivals(opened, f"{console}/explore?by=tier", WHOLE)[0])
    base, own_time = (statistics.median(times[1:]) for times in (floor, ours))
    yield "Explore cold", f"{own_time:.0f} ms, {own_time / base:.2f} × {base:.0f} ms", "3 ×"


def changing(console: str) -> Iterator[Row]:
    """The server's time for a question that nobody has asked before."""
    session = ConsoleSession(console)
    session.show("explore", "range=7d")
    for range_, by, bound in QUESTIONS:
        times = [session.show("explore", query) * 1000 for query in _queries(range_, by)]
        figures = f"p95 {_p95(times):.0f} ms (p50 {statistics.median(times):.0f} ms, {len(times)} questions)"
        yield f"by {by}, {range_}", figures, f"{bound} ms"
    session.close()


def _queries(range_: str, by: str) -> Iterator[str]:
    """Every change of a control: meter, grain, look, top, comparison, a filter, a gauge."""
    last = date.today() - timedelta(days=0)  # noqa: DTZ011 - a benchmark of today's database
    first = last - timedelta(days=395 if range_ == "13 months" else 1_090)
    changes = [f"meters={meter}" for meter in METERS]
    changes += ["grain=day", "grain=week", "grain=month", "as=area", "as=share&top=10", "as=cumulative"]
    changes += ["vs=previous" if range_ == "13 months" else "top=3", "where=tier:pro", "meters=storage_bytes"]
    for number in range(ROUNDS):
        for change in changes:
            since = first + timedelta(days=number)
            yield f"by={by}&from={since}&to={last}&{change}"


def _hours(url: object) -> None:
    """Fill 90 days of hours where they are not there yet."""
    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})  # type: ignore[call-overload]
    with engine.connect() as connection:
        oldest = connection.scalar(text("SELECT min(hour) FROM usage_hourly"))
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first = today - timedelta(days=90)
    day = oldest - timedelta(days=1) if oldest else today
    while day >= first:
        _console_fleet.hours(engine, day)
        day -= timedelta(days=1)
    engine.dispose()
