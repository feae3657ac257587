"""A console that asks for a sign-in, with a real provider and two rival organizations behind it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Engine

from tests.support.browser_site import Site
from tests.support.fleet import Fleet, serving
from tests.support.oidc_provider import CLIENT, SECRET, Provider, provider
from tests.support.ports import free_port
from tests.support.two_tenants import TwoTenants

TOKEN = "t" * 32
OPERATORS = "FLEETMETER_OPERATORS=olga@fleet.example\n"


@dataclass(frozen=True)
class Guarded(Site):
    """The console, the provider of its accounts, two organizations, and its server's log."""

    provider: Provider
    rivals: TwoTenants
    log: Path


def people(own: int) -> dict[str, dict[str, object]]:
    """Return the provider's claims of each account.

    `own` is the organization of bob.
    """
    claims: dict[str, dict[str, object]] = {
        name: {"email": f"{name}@fleet.example", "email_verified": True}
        for name in ("vera", "otto", "olga", "ada", "eve")
    }
    claims["vera"]["email"] = "Vera@fleet.example"
    claims["otto"]["roles"] = ["crew"]
    claims["fake"] = {"email": "ada@fleet.example", "email_verified": False}
    claims["bob"] = {"email": "bob@customer.example", "email_verified": True, "org": [str(own)]}
    claims["bob"]["roles"] = ["crew"]
    return claims


@contextmanager
def guarding(url: URL, engine: Engine, folder: Path, fleet: Fleet, rivals: TwoTenants) -> Iterator[Guarded]:
    """Serve a console with sign-in, and yield it.

    `folder` holds its log, and the `.env` in which olga is an operator.
    """
    port, log = free_port(), folder / "console.log"
    (folder / ".env").write_text(OPERATORS)
    with provider() as idp:
        idp.people = people(rivals.organization)
        variables = {
            "FLEETMETER_DATA_DIR": str(folder),
            "FLEETMETER_OIDC_METADATA_URL": idp.metadata_url,
            "FLEETMETER_OIDC_CLIENT_ID": CLIENT,
            "FLEETMETER_OIDC_CLIENT_SECRET": SECRET,
            "FLEETMETER_OIDC_REDIRECT_URI": f"http://127.0.0.1:{port}/oauth2callback",
            "FLEETMETER_OIDC_COOKIE_SECRET": "c" * 32,
            "FLEETMETER_CONSOLE_ADDRESS": "0.0.0.0",  # noqa: S104 - what sign-in allows
            "FLEETMETER_VIEWERS": "vera@fleet.example",
            "FLEETMETER_ADMINS": "ada@fleet.example",
            "FLEETMETER_ROLE_CLAIM": "roles",
            "FLEETMETER_ROLE_VALUES": "crew=operator",
            "FLEETMETER_ORGANIZATION_CLAIM": "org",
            "FLEETMETER_METRICS_TOKEN": TOKEN,
        }
        with serving(url, port=port, log=log, folder=folder, **variables) as address:
            yield Guarded(address, engine, fleet, idp, rivals, log)
