"""`fleetmeter demo`: everything on this machine, with a simulated fleet and 13 months of history.

The demo lives in a folder of its own below the data folder, so starting it over can never touch a
user's data, and it refuses a DATABASE_URL: it would fill a real platform with robots of its own.
"""

import shutil
import sys
import threading

from pydantic import SecretStr
from sqlalchemy import Engine

from fleetmeter import environment, schema
from fleetmeter import up as supervisor
from fleetmeter.cli import output, terminal
from fleetmeter.demo import cloud, history
from fleetmeter.embedded import postgres
from fleetmeter.up import Process
from metering.config.settings import Settings, load_settings
from metering.db.engine import open_engine
from metering.errors import SettingsError

OUT = terminal.stderr()


def run(reset: bool, port: int, stop: threading.Event) -> None:
    """Make what is missing of the history, then run until `stop`. Raises SettingsError."""
    found = _own(load_settings(), reset)
    engine = open_engine(found, "fleetmeter demo")
    schema.migrate(engine)
    _history(engine, stop)
    if stop.is_set():
        return
    aws = cloud.start()
    OUT.print(f"AWS: simulated on {aws['AWS_ENDPOINT_URL']}")
    url = found.database.render_as_string(hide_password=False)
    fleet = Process("fleet", [sys.executable, "-P", "-m", "fleetmeter.demo.fleet"], {"DATABASE_URL": url})
    supervisor.run(found, True, port, [fleet], stop, aws)


def _own(configured: Settings, reset: bool) -> Settings:
    if not configured.embedded_database:
        raise SettingsError(
            "the demo fills a database with simulated robots, and DATABASE_URL or DB_* names a real one; "
            "unset it, or use `fleetmeter up`"
        )
    folder = configured.data_dir / "demo"
    if reset:
        postgres.destroy(folder)
        shutil.rmtree(folder, ignore_errors=True)
    url = postgres.ensure_running(folder).render_as_string(hide_password=False)
    return configured.model_copy(update={"data_dir": folder, "database_url": SecretStr(url)})


def _history(engine: Engine, stop: threading.Event) -> None:
    with output.progress(OUT) as advance:

        def step(what: str, done: int, total: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            advance(what, done, total)

        history.make(engine, environment.now(), step)
