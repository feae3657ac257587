"""`fleetmeter demo`: everything on this machine, with a simulated fleet and 13 months of history.

The demo lives in a folder of its own below the data folder, so starting it over can never touch a
user's data, and it refuses a DATABASE_URL: it would fill a real platform with robots of its own.
"""

import shutil
import sys
import threading
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy import Engine

from fleetmeter import environment, schema
from fleetmeter import up as supervisor
from fleetmeter.cli import output, terminal
from fleetmeter.demo import cloud, history, running, world
from fleetmeter.embedded import ports, postgres
from fleetmeter.up import Process
from metering.config.settings import Settings, load_settings
from metering.db.engine import open_engine
from metering.errors import SettingsError

OUT = terminal.stderr()


FIRST_PORT, PORTS = 8501, 100  # of the console, where the command names none


def run(reset: bool, port: int | None, stop: threading.Event) -> None:
    """Insert the missing history, then run until `stop`; at the end stop PostgreSQL as well.

    Raises SettingsError if a database is set, DemoRuns if a demo runs on the same data already.
    """
    settings = load_settings()
    if not settings.embedded_database:
        raise SettingsError(
            "the demo fills a database with simulated robots, and DATABASE_URL or DB_* names a real one; "
            "unset it, or use `fleetmeter up`"
        )
    folder = running.folder(settings.data_dir)
    with running.only(folder):
        if reset:
            postgres.destroy(folder)
            shutil.rmtree(folder, ignore_errors=True)
        try:
            _run(_settings_of(settings, folder), port or _free_port(), stop)
        finally:
            postgres.stop(folder)


def _run(settings: Settings, port: int, stop: threading.Event) -> None:
    engine = open_engine(settings, "fleetmeter demo")
    schema.migrate(engine)
    _history(engine, stop)
    if stop.is_set():
        return
    aws = cloud.start()
    OUT.print(f"AWS: simulated on {aws['AWS_ENDPOINT_URL']}")
    own = aws | {"FLEETMETER_PLANS": str(world.PLANS)}
    url = settings.database.render_as_string(hide_password=False)
    fleet = Process("fleet", [sys.executable, "-P", "-m", "fleetmeter.demo.fleet"], {"DATABASE_URL": url})

    def announce(mqtt_url: str) -> None:
        plain = settings.database.set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            running.announce(settings.data_dir, {**own, "DATABASE_URL": plain, "MQTT_URL": mqtt_url})
            OUT.print(f"talk to it from another terminal: {running.HOW}", markup=False)
        except OSError as error:
            OUT.print(f"demo --env will not find it: {error}", markup=False)

    at_end = "Ctrl-C stops everything, its PostgreSQL too; the data stay for the next start."
    supervisor.run(settings, True, port, [fleet], stop, own, announce, at_end)


def _settings_of(settings: Settings, folder: Path) -> Settings:
    url = postgres.ensure_running(folder).render_as_string(hide_password=False)
    return settings.model_copy(update={"data_dir": folder, "database_url": SecretStr(url)})


def _free_port() -> int:
    candidates = range(FIRST_PORT, FIRST_PORT + PORTS)
    return next((port for port in candidates if ports.is_free(port)), FIRST_PORT)


def _history(engine: Engine, stop: threading.Event) -> None:
    with output.progress(OUT) as advance:

        def step(what: str, finished: int, total: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            advance(what, finished, total)

        history.make(engine, environment.now(), step)
