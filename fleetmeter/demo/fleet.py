"""The simulated fleet: some 300 MQTT messages a second from 600 devices, and rows in the platform.

Runs as a process of its own: `python -m fleetmeter.demo.fleet`, with DATABASE_URL and MQTT_URL.
"""

import itertools
import os
import random
import signal
import threading
import time
from collections import defaultdict
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from fleetmeter.demo import world
from fleetmeter.demo.platform_rows import MESSAGES_PER_ROW, deployments
from fleetmeter.demo.world import INACTIVE, PROJECTS, Project
from metering.config.settings import Settings, load_settings
from metering.db.engine import error_line, open_engine
from metering.db.transactions import transaction
from metering.errors import DatabaseUnavailable

TICK = 0.1  # seconds between two volleys
CONNECTIONS = 4
STRAY = 0.0005  # the share of messages on topics that match no project
BEHIND = 0.02  # the share of a moved project's messages on topics that name its former organization
UPSTREAM = ("telemetry/pose", "telemetry/battery", "status", "events")
DOWNSTREAM = ("commands/move", "config/map", "ota/progress")

LOG = structlog.get_logger("demo")


def run(configured: Settings, engine: Engine, stop: threading.Event) -> None:
    """Publish and insert until `stop`; wait for a broker or database that is away."""
    clients = [_client(configured, number) for number in range(CONNECTIONS)]
    with transaction(engine) as connection:
        owners = world.owners(connection)
    rows = threading.Thread(target=_insert_rows, args=(engine, stop), daemon=True)
    rows.start()
    owed: defaultdict[int, float] = defaultdict(float)
    last = time.monotonic()
    while not stop.wait(TICK):
        now = time.monotonic()
        _volley(clients, configured.mqtt_topic_root, owners, owed, min(now - last, 1.0))
        last = now
    for client in clients:
        client.disconnect()
        client.loop_stop()
    rows.join()


def _client(configured: Settings, number: int) -> mqtt.Client:
    url = urlsplit(configured.mqtt_url.get_secret_value() if configured.mqtt_url else "mqtt://127.0.0.1")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"simulated-fleet-{number}")
    if url.username:
        client.username_pw_set(url.username, url.password)
    client.max_queued_messages_set(10_000)
    client.connect_async(url.hostname or "127.0.0.1", url.port or 1883)
    client.loop_start()
    return client


def _volley(
    clients: list[mqtt.Client],
    root: str,
    owners: dict[int, int],
    owed: defaultdict[int, float],
    seconds: float,
) -> None:
    for project in PROJECTS:
        if project.id == INACTIVE:
            continue
        owed[project.id] += project.rate * seconds
        while owed[project.id] >= 1:
            owed[project.id] -= 1
            organization = _named(project.id, owners[project.id])
            device = random.randrange(project.devices) + 1
            level, qos = _kind()
            topic = f"{root}/{organization}/{project.id}/robot-{device}/{level}"
            clients[device % CONNECTIONS].publish(topic, os.urandom(random.randrange(40, 320)), qos)


def _named(project_id: int, owner: int) -> int:
    """Return the organization that the topic of a message names."""
    if random.random() < STRAY:
        return random.choice((owner + 100, 0))
    if project_id == world.MOVED and random.random() < BEHIND:
        return world.FORMER_OWNER
    return owner


def _kind() -> tuple[str, int]:
    if random.random() < 0.1:
        return random.choice(DOWNSTREAM), 1
    return random.choice(UPSTREAM), random.choice((0, 0, 1))


ROWS = {
    "logs": "INSERT INTO logs (project_id, size_bytes) VALUES (:id, :size)",
    "api_calls": "INSERT INTO api_calls (project_id) VALUES (:id)",
    "sessions": "INSERT INTO sessions (project_id) VALUES (:id)",
    "data_transfers": """INSERT INTO data_transfers (project_id, kind, bytes) VALUES (
        :id, (ARRAY['docker_upload', 'docker_download', 'data'])[:size % 3 + 1], :size * 250)""",
    "deployments": "INSERT INTO deployments (project_id) VALUES (:id)",
}
UPDATE_LAST_SEEN = """UPDATE devices SET last_seen_at = now() WHERE id % 20 <> 0
    AND project_id IN (SELECT id FROM projects WHERE is_active)"""


def _due_rows() -> list[tuple[str, Project]]:
    """Return the rows of one second, in the history's proportion to the messages."""
    each = [
        (table, project, project.rate / messages)
        for table, messages in MESSAGES_PER_ROW.items()
        for project in PROJECTS
    ]
    each += [("deployments", project, deployments(project.id) / 86_400) for project in PROJECTS]
    return [(table, p) for table, p, chance in each if p.id != INACTIVE and random.random() < chance]


def _insert_rows(engine: Engine, stop: threading.Event) -> None:
    away = False
    for second in itertools.count():
        if stop.wait(1):
            return
        try:
            with transaction(engine) as connection:
                for table, project in _due_rows():
                    row = {"id": project.id, "size": random.randrange(200, 600)}
                    connection.execute(text(ROWS[table]), row)
                if second % 60 == 0:
                    connection.execute(text(UPDATE_LAST_SEEN))
            away = False
        except (DatabaseUnavailable, DBAPIError) as error:
            if not away:
                LOG.warning("simulation.paused", reason=error_line(error))
            away = True


def main() -> None:
    """Publish until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    configured = load_settings()
    run(configured, open_engine(configured, "simulated fleet"), stop)


if __name__ == "__main__":
    main()
