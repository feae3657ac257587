"""The API on a real port, served by uvicorn in a thread of the test's process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import uvicorn
from sqlalchemy import Engine

from api import app
from metering.config.settings import Settings
from metering.db import tokens
from metering.db.transactions import transaction
from tests.support.ports import free_port
from tests.support.until import until


@contextmanager
def served(settings: Settings) -> Iterator[str]:
    """Serve the API and yield its address, without /api/v1."""
    port = free_port()
    application = app.create(settings)
    config = uvicorn.Config(application, port=port, log_config=None, access_log=False, lifespan="on")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, pause=0.01)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(15)
        application.state.context.engine.dispose()


def new_token(
    engine: Engine,
    role: str = "admin",
    organization: int | None = None,
    name: str | None = None,
    days: int | None = 1,
) -> str:
    name = name or f"test {uuid4().hex[:12]}"
    with transaction(engine) as connection:
        return tokens.create(connection, name, role, organization, days, "tests", datetime.now(UTC))


def client(address: str, token: str | None) -> httpx.Client:
    """Return a client of /api/v1.

    It sends no token if `token` is None.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=f"{address}/api/v1", headers=headers, timeout=30)
