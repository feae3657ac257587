"""A runner's loop in a process of its own, to be killed: claims and executes until nothing waits."""

import os

from jobs import execute, queue
from metering.config.settings import load_settings
from metering.db.engine import open_engine
from metering.db.transactions import transaction


def work(url: str) -> None:
    """Work off the queue of the database at `url`."""
    os.environ["DATABASE_URL"] = url
    found = load_settings()
    engine = open_engine(found)
    name = execute.worker_name()
    while True:
        with transaction(engine) as connection:
            run = queue.claim(connection, name)
        if run is None:
            return
        execute.execute(found, engine, run)
