"""Where a drill takes place: its projects, a broker, a scratch database."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import URL, Engine, create_engine, text

from fleetmeter import schema
from fleetmeter.embedded import broker as embedded
from metering.errors import FleetmeterError
from metering.settings import DRIVER, Settings

PROJECTS = 20


def fill(engine: Engine) -> list[str]:
    """Projects to count for; returns topics below the root, a few of which name none."""
    schema.migrate(engine)
    with engine.begin() as connection:
        organization = connection.scalar(
            text("INSERT INTO organizations (name) VALUES ('Drill') RETURNING id")
        )
        statement = text("INSERT INTO projects (organization_id, name) VALUES (:o, :n) RETURNING id")
        ids = [
            connection.scalar(statement, {"o": organization, "n": f"Drill {number}"})
            for number in range(PROJECTS)
        ]
    return [f"{organization}/{project}/robot/state" for project in ids] + [
        f"{organization}/{ids[0]}/robot/cmd/go",
        f"{organization}/999999/robot/state",
        "malformed",
    ]


@contextlib.contextmanager
def broker(settings: Settings, folder: Path) -> Iterator[str]:
    """The URL of the broker in MQTT_URL, or of a mosquitto for this drill alone.

    Raises FleetmeterError for TLS, which the drill's cable cannot be spliced into.
    """
    if settings.mqtt_url is not None:
        url = settings.mqtt_url.get_secret_value()
        if urlsplit(url).scheme != "mqtt":
            raise FleetmeterError("the drill speaks plain MQTT only; give it an mqtt:// MQTT_URL")
        yield url
        return
    # Other brokers that can be embedded send again under new ids, which nobody can count exactly.
    own = embedded.start(folder, prefer="mosquitto")
    try:
        yield own.url
    finally:
        own.stop()


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[URL]:
    """A database on the configured server, dropped afterwards."""
    name = f"fleetmeter_drill_{os.getpid()}"
    admin = create_engine(settings.database, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    try:
        yield settings.database.set(database=name, drivername=DRIVER)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()
