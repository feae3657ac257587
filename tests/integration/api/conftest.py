"""A running API with tokens of every role."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from sqlalchemy import Engine

from metering.config.settings import Settings
from tests.support import api_server

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
