"""Decide who may read the metrics of a process."""

from hmac import compare_digest
from ipaddress import ip_address

from metering.config.settings import Settings
from metering.errors import SettingsError

REFUSAL = "metrics take `Authorization: Bearer` with FLEETMETER_METRICS_TOKEN\n"


def trusted(authorization: str, settings: Settings, address: str = "127.0.0.1") -> bool:
    """Return whether that header gives access to the metrics of a server on `address`.

    Without a token they are open on loopback, where nobody signs in.
    """
    token = settings.metrics_token
    if token is None:
        return not settings.sign_in and _is_loopback(address)
    scheme, _, token_given = authorization.partition(" ")
    expected = token.get_secret_value().encode()
    return scheme.lower() == "bearer" and compare_digest(token_given.strip().encode(), expected)


def require_closed(settings: Settings) -> None:
    """Raise SettingsError where metrics would be open to other machines without a token."""
    if settings.metrics_token is None and not _is_loopback(settings.metrics_address):
        raise SettingsError(
            f"FLEETMETER_METRICS_ADDRESS is {settings.metrics_address}, which other machines may reach; "
            "set FLEETMETER_METRICS_TOKEN too, or leave the address out to listen on loopback only"
        )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
