"""A running API with tokens of every role."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import URL, Connection, Engine, text

from metering.config.settings import Settings
from tests.support import api_server, api_site
from tests.support.api_site import Site

Connect = Callable[..., httpx.Client]


@pytest.fixture
def address(configured: Settings) -> Iterator[str]:
    """The address of a running server, without /api/v1."""
    with api_server.served(configured) as url:
        yield url


@pytest.fixture
def connect(address: str, engine: Engine) -> Iterator[Connect]:
    """Return a client with a token of that role and organization."""
    with ExitStack() as opened:

        def client(role: str = "admin", organization: int | None = None) -> httpx.Client:
            token = api_server.new_token(engine, role, organization)
            return opened.enter_context(api_server.client(address, token))

        yield client


@pytest.fixture(scope="session")
def site(server: URL, admin: Connection, template: str) -> Iterator[Site]:
    """Two organizations behind one API; filling them takes seconds, so the modules share it."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
    with api_site.running(server.set(database=name)) as running:
        yield running
    admin.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
