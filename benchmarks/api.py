"""The HTTP API on 100,000 projects, beside a bare FastAPI endpoint with the same driver, at 50 clients.

Live figures and a limit check, the token checked in PostgreSQL each time, beside `SELECT 1`: the median at
most 3 times, p99 at most 4 times. A page of 1,000 days beside the same query without anything around it: at
most 3 times. Rounds alternate, so that both meet the same noise. FLEETMETER_BENCH_FOLDER says where the
database is kept.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from benchmarks import _http_clients
from benchmarks._console_fleet import NAMES, usage
from benchmarks.limits import FOLDER, ready
from metering.config.settings import load_settings
from metering.db import tokens
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from tests.support.ports import free_port
from tests.support.until import until

OUT = Console(highlight=False, width=120)
CLIENTS, SECONDS, ROUNDS = 50, 3.0, 4
DAYS = f"""
    INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, {NAMES}, tier, coverage,
        form, meters, row_hash, created_at)
    SELECT 1, d, 1, extract(year FROM d), extract(month FROM d), extract(day FROM d), {usage("24")}, 'pro',
        '{{"mqtt": {{"state": "measured", "hours": 24, "of": 24}}}}', 2, '{{}}', repeat('0', 64), now()
    FROM (SELECT 1 AS id) p, generate_series(date '2023-01-01', '2026-09-30', '1 day') AS d (d)
    ON CONFLICT DO NOTHING"""
# name -> path of ours, path of the bare one, bounds of median and p99, clients
CASES: dict[str, tuple[str, str, float, float, int]] = {
    "live figures": ("/projects/77", "/one", 3, 4, CLIENTS),
    "limit check, storage": ("/limits/check?check=storage&project=77&bytes=5", "/one", 3, 4, CLIENTS),
    "limit check, messages": ("/limits/check?check=mqtt_inbound&project=77", "/one", 3, 4, CLIENTS),
    "1,000 days": ("/projects/1/days?from=2023-01-01&to=2026-09-30&limit=1000", "/days", 3, 4, 4),
}


def fill(engine: Engine) -> str:
    """Add a thousand days of one project; return a token."""
    with transaction(engine) as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(DAYS))
        connection.execute(text("ANALYZE daily_stats"))
        at = datetime.now(UTC)
        return tokens.create(connection, f"benchmark {at}", "viewer", None, 1, "benchmark", at)


@contextmanager
def server(command: list[str], url: str, port: int) -> Iterator[int]:
    """Run a server; yield its port once it answers."""
    environment = {**os.environ, "DATABASE_URL": url, "FLEETMETER_API_REQUESTS_PER_MINUTE": "1000000000"}
    with tempfile.TemporaryFile() as log:  # as a service writes its log, and not to a terminal
        process = subprocess.Popen([sys.executable, "-P", "-m", *command], env=environment, stderr=log)
        try:
            until(lambda: _answers(port))
            yield port
        finally:
            process.terminate()
            process.wait()


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/openapi.json")
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def main() -> None:
    """Median and p99 of each case beside the bare endpoint's, and whether the bounds hold."""
    url = ready(FOLDER.resolve())
    engine = open_engine(load_settings(database_url=url))
    token = fill(engine)
    engine.dispose()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    ours, bare = free_port(), free_port()
    with (
        server(["fleetmeter.cli", "api", "--port", str(ours)], url, ours),
        server(["benchmarks._bare_api", str(bare)], url, bare),
    ):
        _report(ours, bare, token)


def _report(ours: int, bare: int, token: str) -> None:
    table = Table(
        "case", "clients", "answers/s", "p50 ms", "p99 ms", "bare p50", "bare p99", "p50 x", "p99 x", ""
    )
    for name, (path, other, most_p50, most_p99, clients) in CASES.items():
        own, base = _measured(ours, bare, f"/api/v1{path}", other, clients, token)
        ratios = [a / b for a, b in zip(own, base, strict=True)]
        holds = ratios[0] <= most_p50 and ratios[1] <= most_p99
        figures = [f"{value:.1f}" for value in (*own, *base)]
        rate = f"{clients * 1000 / own[0]:,.0f}"
        table.add_row(
            name, str(clients), rate, *figures, *(f"{r:.2f}" for r in ratios), "yes" if holds else "NO"
        )
    OUT.print(table)


def _measured(
    ours: int, bare: int, path: str, other: str, clients: int, token: str
) -> tuple[tuple[float, float], tuple[float, float]]:
    own: list[float] = []
    base: list[float] = []
    _http_clients.run(ours, path, clients, 1, token)
    _http_clients.run(bare, other, clients, 1)
    for _ in range(ROUNDS):
        own += _http_clients.run(ours, path, clients, SECONDS, token)
        base += _http_clients.run(bare, other, clients, SECONDS)
    return _percentiles(own), _percentiles(base)


def _percentiles(took: list[float]) -> tuple[float, float]:
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


if __name__ == "__main__":
    main()
