"""Two organizations behind one running API, with a token for each kind of caller."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from sqlalchemy import URL, Engine

from metering.config.settings import Settings, load_settings
from metering.db.engine import open_engine
from tests.support import api_server, fleet, two_tenants
from tests.support.two_tenants import TwoTenants

# name -> role, and whose rows it sees
CALLERS = {
    "viewer": ("viewer", None),
    "admin": ("admin", None),
    "own viewer": ("viewer", "own"),
    "own admin": ("admin", "own"),
    "rival admin": ("admin", "rival"),
}


@dataclass(frozen=True)
class Site:
    """The running API, its data, and `clients` and `tokens` by the names of CALLERS."""

    address: str
    settings: Settings
    engine: Engine
    tenants: TwoTenants
    clients: dict[str, httpx.Client]
    tokens: dict[str, str]


@contextmanager
def running(url: URL) -> Iterator[Site]:
    """Fill the migrated database at `url`, serve it, yield the site."""
    settings = load_settings(
        database_url=url.render_as_string(hide_password=False), api_requests_per_minute=10**9
    )
    engine = open_engine(settings)
    tenants = two_tenants.add_rival(engine, fleet.fill(engine))
    owners = {None: None, "own": tenants.organization, "rival": two_tenants.ORGANIZATION}
    tokens = {
        name: api_server.new_token(engine, role, owners[whose], name)
        for name, (role, whose) in CALLERS.items()
    }
    with api_server.served(settings) as address:
        clients = {name: api_server.client(address, token) for name, token in tokens.items()}
        yield Site(address, settings, engine, tenants, clients, tokens)
        for client in clients.values():
            client.close()
    engine.dispose()
