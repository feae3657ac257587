"""Events over HTTP in batches of 100, beside the same rows by bare batched inserts, alternating in one run.

The server is `fleetmeter api` in a process of its own; it checks the token, validates and deduplicates each
event, and counts it in hours and totals. Bare inserts write to bare tables with the same keys: once all
these rows (events, hours, totals), once the events alone.
FLEETMETER_BENCH_FOLDER says where the database is kept.
"""

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg2
from psycopg2.extras import execute_values
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, text

from benchmarks import _database
from fleetmeter import schema
from metering.db import tokens

OUT = Console(highlight=False, width=120)
FOLDER = Path(os.environ.get("FLEETMETER_BENCH_FOLDER", ".fleetmeter/bench-ingest"))
PROJECTS, BATCH, BATCHES, BOUND = 1_000, 100, 100, 0.3
METERS = '[meters.query_seconds]\nunit = "seconds"\naggregation = "sum"\n'
FILL = """
    INSERT INTO organizations (name, tier, created_at) VALUES ('Bench', 'pro', '2026-01-01Z');
    INSERT INTO projects (organization_id, name, created_at)
        SELECT 1, 'Fleet ' || n, '2026-01-01Z' FROM generate_series(1, :projects) n;
    CREATE TABLE bare (source text, id text, project_id bigint, meter text, at timestamptz, quantity bigint,
        PRIMARY KEY (source, id));
    CREATE TABLE bare_hours (project_id bigint, hour timestamptz, meter text, quantity bigint,
        PRIMARY KEY (project_id, hour, meter));
    CREATE TABLE bare_totals (project_id bigint, meter text, quantity bigint,
        PRIMARY KEY (project_id, meter))"""
BARE = "INSERT INTO bare (source, id, project_id, meter, at, quantity) VALUES %s"
HOURS = """INSERT INTO bare_hours AS b VALUES %s
    ON CONFLICT (project_id, hour, meter) DO UPDATE SET quantity = b.quantity + excluded.quantity"""
TOTALS = """INSERT INTO bare_totals AS b VALUES %s
    ON CONFLICT (project_id, meter) DO UPDATE SET quantity = b.quantity + excluded.quantity"""


def events(number: int) -> list[dict[str, Any]]:
    """Return a batch whose ids were never sent."""
    at, run = datetime.now(UTC).isoformat(), uuid.uuid4().hex
    return [
        {
            **{"specversion": "1.0", "source": "urn:bench", "id": f"{run}-{n}", "type": "query_seconds"},
            **{"subject": str((number * BATCH + n * 7) % PROJECTS + 1), "time": at, "data": {"quantity": n}},
        }
        for n in range(BATCH)
    ]


def by_http(address: str, token: str) -> Callable[[int], None]:
    """Return what sends a batch."""
    client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=60)

    def send(number: int) -> None:
        answer = client.post("/api/v1/usage", json=events(number)).raise_for_status().json()
        if answer["accepted"] != BATCH:
            raise RuntimeError(f"only {answer['accepted']} of {BATCH} were accepted: {answer['refused'][:1]}")

    return send


def by_insert(url: str, everything: bool) -> Callable[[int], None]:
    """Return what inserts a batch: its events, and with `everything` its hours and totals too."""
    connection = psycopg2.connect(url)

    def insert(number: int) -> None:
        rows = [
            (e["source"], e["id"], int(e["subject"]), e["type"], e["time"], e["data"]["quantity"])
            for e in events(number)
        ]
        with connection, connection.cursor() as cursor:
            if everything:  # in the order of their keys, so that no two batches wait for each other
                hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
                cells = sorted((row[2], hour, row[3], row[5]) for row in rows)
                execute_values(cursor, HOURS, cells, page_size=BATCH)
                totals = [(project, meter, quantity) for project, _, meter, quantity in cells]
                execute_values(cursor, TOTALS, totals, page_size=BATCH)
            execute_values(cursor, BARE, rows, page_size=BATCH)

    return insert


def rate(write: list[Callable[[int], None]]) -> float:
    """Return the events a second that these clients write together."""

    def part(client: int) -> None:
        for number in range(client, BATCHES, len(write)):
            write[client](number)

    started = time.perf_counter()
    with ThreadPoolExecutor(len(write)) as pool:
        list(pool.map(part, range(len(write))))
    return BATCHES * BATCH / (time.perf_counter() - started)


def main() -> None:
    """Events a second of both, alternating, and their ratio against the bound."""
    url = _database.start(FOLDER.resolve())
    engine = create_engine(url)
    schema.migrate(engine)
    with engine.begin() as connection:
        if not connection.scalar(text("SELECT EXISTS (SELECT FROM projects)")):
            for statement in FILL.split(";"):
                connection.execute(text(statement), {"projects": PROJECTS})
        connection.execute(text("TRUNCATE bare, bare_hours, bare_totals"))
        at = datetime.now(UTC)
        token = tokens.create(connection, f"bench {at}", "operator", None, 1, "benchmark", at)
    plain, port = url.set(drivername="postgresql").render_as_string(hide_password=False), free_port()
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "meters.toml").write_text(METERS)
        variables = {"DATABASE_URL": plain, "FLEETMETER_METERS": f"{folder}/meters.toml"}
        variables |= {"FLEETMETER_API_REQUESTS_PER_MINUTE": "1000000"}
        command = [sys.executable, "-m", "fleetmeter.cli", "api", "--port", str(port)]
        server = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL)
        try:
            _await(address)
            measure(address, token, plain)
        finally:
            server.terminate()
            server.wait(20)


def measure(address: str, token: str, url: str) -> None:
    """Print the rates of one client and of four."""
    table = Table(
        "clients", "HTTP events/s", "bare rows/s", "ratio", f"at least {BOUND}", "events alone/s", "ratio"
    )
    for clients in (1, 4):
        writers = [
            [by_http(address, token) for _ in range(clients)],
            [by_insert(url, True) for _ in range(clients)],
            [by_insert(url, False) for _ in range(clients)],
        ]
        rounds = [[rate(writer) for writer in writers] for _ in range(4)][1:]  # the first warms up
        http, rows, alone = (statistics.median(rates) for rates in zip(*rounds, strict=True))
        to_rows, to_alone = (
            statistics.median(rates[0] / rates[number] for rates in rounds) for number in (1, 2)
        )
        answer = "yes" if to_rows >= BOUND else "NO"
        figures = (
            f"{http:,.0f}",
            f"{rows:,.0f}",
            f"{to_rows:.2f}",
            answer,
            f"{alone:,.0f}",
            f"{to_alone:.2f}",
        )
        table.add_row(str(clients), *figures)
    OUT.print(table)


def free_port() -> int:
    """Return a port on which nobody listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _await(address: str) -> None:
    for _ in range(300):
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/api/v1/openapi.json").status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError("the API did not start")
