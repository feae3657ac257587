"""kill -9 of the API between commit and answer, with four clients that repeat: every event counts once."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL, Engine, text

from metering.proof.verify import verify
from tests.support import api_server
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.until import until

ROOT = Path(__file__).parents[2]
CLIENTS, PROJECTS, BATCH, KILLS = 4, 7, 25, 8
METERS = """
[meters.query_seconds]
unit = "seconds"
aggregation = "sum"
[meters.robots_online]
unit = "robots"
aggregation = "max"
"""


@contextmanager
def killed_again_and_again(url: URL, port: int, meters: Path, kills: int) -> Iterator[threading.Event]:
    """Run `fleetmeter api`, kill it `kills` times at random instants, start it again; yields an event.

    The event is set after the last kill.
    """
    over, stop = threading.Event(), threading.Event()
    variables = {"DATABASE_URL": url.render_as_string(hide_password=False), "FLEETMETER_METERS": str(meters)}
    variables |= {"FLEETMETER_API_REQUESTS_PER_MINUTE": "1000000", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "fleetmeter.cli", "api", "--port", str(port)]
    chance = random.Random(5)

    def start() -> "subprocess.Popen[bytes]":
        server = subprocess.Popen(command, env=os.environ | variables, stdout=subprocess.DEVNULL, cwd=ROOT)
        until(lambda: answers(port) or server.poll() is not None, pause=0.05)
        return server

    def run() -> None:
        server = start()
        for _ in range(kills):
            stop.wait(chance.uniform(0.05, 0.6))
            server.send_signal(signal.SIGKILL)
            server.wait()
            server = start()
        over.set()
        stop.wait()
        server.terminate()
        server.wait(20)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield over
    finally:
        stop.set()
        thread.join(120)


def answers(port: int) -> bool:
    with suppress(httpx.HTTPError):
        return httpx.get(f"http://127.0.0.1:{port}/api/v1/openapi.json").status_code == 200
    return False


def batch(projects: list[int], client: int, number: int) -> list[dict[str, Any]]:
    return [
        {
            **{"specversion": "1.0", "source": f"urn:client:{client}", "id": f"{number}-{n}"},
            **{"type": "robots_online" if n % 5 == 0 else "query_seconds", "data": {"quantity": n + 1}},
            **{"subject": str(projects[(number + n) % PROJECTS])},
        }
        for n in range(BATCH)
    ]


@pytest.mark.drill
@pytest.mark.timeout(900)
def test_every_event_counts_once_whenever_the_server_is_killed(
    engine: Engine, url: URL, platform: Platform, tmp_path: Path
) -> None:
    organization, port = platform.organization("pro"), free_port()
    projects = [platform.project(organization, created_at="2026-01-01") for _ in range(PROJECTS)]
    token = api_server.new_token(engine, "operator")
    (tmp_path / "meters.toml").write_text(METERS)
    repeated = []

    def send(client: int, over: threading.Event) -> int:
        number = 0
        with api_server.client(f"http://127.0.0.1:{port}", token) as connection:
            while number < 10 or not over.is_set():
                events, times = batch(projects, client, number), 0
                while not _send(connection, events):
                    times += 1
                    over.wait(0.05)
                repeated.append(times)
                number += 1
        return number

    with killed_again_and_again(url, port, tmp_path / "meters.toml", KILLS) as over:
        until(lambda: answers(port), pause=0.05)
        with ThreadPoolExecutor(CLIENTS) as pool:
            batches = list(pool.map(lambda client: send(client, over), range(CLIENTS)))
    events = [
        e for client, count in enumerate(batches) for n in range(count) for e in batch(projects, client, n)
    ]
    expected: dict[int, dict[str, int]] = {project: {} for project in projects}
    for event in events:
        cell, name, quantity = expected[int(event["subject"])], event["type"], event["data"]["quantity"]
        cell[name] = (
            max(cell.get(name, 0), quantity) if name == "robots_online" else cell.get(name, 0) + quantity
        )
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT project_id, meters FROM project_stats")).all()
        stored_events = connection.scalar(text("SELECT count(*) FROM usage_events"))
    print(f"{KILLS} kills, {len(events):,} events, {sum(repeated):,} batches repeated")
    assert {row.project_id: row.meters for row in rows} == expected
    assert stored_events == len(events)
    assert verify(engine).discrepancies == []


def _send(client: httpx.Client, events: list[dict[str, Any]]) -> bool:
    with suppress(httpx.HTTPError):
        answer = client.post("/usage", json=events)
        if answer.status_code == 200:
            body = answer.json()
            assert body["refused"] == []
            assert body["accepted"] + body["duplicates"] == len(events)
            return True
    return False
