"""Where a drill takes place: its projects, a broker, a scratch database."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import URL, Engine, create_engine, text

from collectors.mqtt import endpoint
from collectors.mqtt.endpoint import Endpoint
from fleetmeter import environment, schema
from fleetmeter.embedded import broker as embedded
from metering.config.database import DRIVER
from metering.config.settings import Settings
from metering.errors import FleetmeterError

PROJECTS = 20


def fill(engine: Engine) -> list[str]:
    """Create projects; return topics below the root, some of unknown projects."""
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
def broker(settings: Settings, folder: Path) -> Iterator[Endpoint]:
    """Yield the broker of MQTT_URL, or start a mosquitto for this drill alone.

    Raises FleetmeterError when a certificate cannot be read.
    """
    if settings.mqtt_url is not None:
        yield _endpoint(settings)
        return
    # Other embeddable brokers send again under new ids, which cannot be counted exactly.
    own = embedded.start(folder, prefer="mosquitto")
    try:
        yield _endpoint(settings.model_copy(update={"mqtt_url": SecretStr(own.url)}))
    finally:
        own.stop()


def _endpoint(settings: Settings) -> Endpoint:
    try:
        return endpoint.from_settings(settings)
    except OSError as error:
        raise FleetmeterError(f"MQTT_CA_FILE, MQTT_CERT_FILE, MQTT_KEY_FILE: {error}") from error


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[URL]:
    """Yield a new database on the configured server, and drop it afterwards."""
    name = f"fleetmeter_drill_{os.getpid()}"
    admin = create_engine(environment.maintenance_url(settings), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}" OWNER "{settings.database.username}"'))
    try:
        yield settings.database.set(database=name, drivername=DRIVER)
    finally:
        with admin.connect() as connection:
            connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
        admin.dispose()
