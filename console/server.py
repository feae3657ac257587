"""Start options of the console's server: its address, and the sign-in of people."""

import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from metering.config.oidc import LOOPBACK
from metering.config.settings import Settings

OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")  # what a browser of this machine may call the console


def refuse_public(address: str | None, settings: Settings) -> None:
    """End the process, with a sentence, if other machines could reach it without sign-in."""
    if not settings.sign_in and address not in LOOPBACK:
        sys.exit(
            f"fleetmeter: without sign-in the console serves {LOOPBACK[0]} only, not "
            f"{address or 'every address'}; set FLEETMETER_OIDC_* (docs/sign-in.md)"
        )


def secrets(settings: Settings) -> dict[str, Any] | None:
    """Return Streamlit's `[auth]` section, which stays in memory; None where nobody signs in."""
    if not settings.sign_in:
        return None
    return {
        "auth": {
            "redirect_uri": settings.oidc_redirect_uri,
            "cookie_secret": _revealed(settings.oidc_cookie_secret),
            "client_id": settings.oidc_client_id,
            "client_secret": _revealed(settings.oidc_client_secret),
            "server_metadata_url": settings.oidc_metadata_url,
            "client_kwargs": {"scope": settings.oidc_scope},
        }
    }


def _revealed(secret: SecretStr | None) -> str:
    return "" if secret is None else secret.get_secret_value()


def origin(settings: Settings) -> str:
    """Return the console's public origin: scheme and host of the redirect address."""
    at = urlsplit(str(settings.oidc_redirect_uri))
    return f"{at.scheme}://{at.netloc}"


def command(port: int, settings: Settings) -> list[str]:
    """Return the command line of the console on `port`; the environment has everything else."""
    app = Path(__file__).with_name("app.py")
    options = {
        "server.address": settings.console_address,
        "server.port": str(port),
        "server.headless": "true",
        "server.enableXsrfProtection": "true",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
    }
    if settings.sign_in:
        options["server.corsAllowedOrigins"] = origin(settings)
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-P", "-m", "streamlit", "run", str(app), *flags]
