"""People who sign in: the provider's settings, and the claims of an ID token."""

from datetime import UTC, datetime
from typing import Any

PROVIDER = {
    "FLEETMETER_OIDC_METADATA_URL": "https://login.example/.well-known/openid-configuration",
    "FLEETMETER_OIDC_CLIENT_ID": "console",
    "FLEETMETER_OIDC_CLIENT_SECRET": "hush-hush",
    "FLEETMETER_OIDC_REDIRECT_URI": "https://fleet.example/oauth2callback",
    "FLEETMETER_OIDC_COOKIE_SECRET": "c" * 32,
}


def claims(at: datetime | None = None, **changes: Any) -> dict[str, Any]:
    """Return Ann's claims, with `changes`.

    She signed in a minute before `at` (default: now), and her token lasts an hour more.
    """
    now = (at or datetime.now(UTC)).timestamp()
    usual = {"is_logged_in": True, "aud": "console", "email": "ann@fleet.example", "email_verified": True}
    return usual | {"iat": now - 60, "exp": now + 3600} | changes
