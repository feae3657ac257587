"""A runner's loop in a process of its own, to be killed: claims and executes until nothing waits."""

import os

from jobs.registry import TASKS
from metering.config.settings import load_settings
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from metering.runs import lease
from metering.runs.execution import execute


def work(url: str) -> None:
    """Execute every waiting run of the database at `url`."""
    os.environ["DATABASE_URL"] = url
    settings = load_settings()
    engine = open_engine(settings)
    name = lease.worker_name()
    while True:
        with transaction(engine) as connection:
            run = lease.claim(connection, name)
        if run is None:
            return
        execute(settings, engine, TASKS, run)
