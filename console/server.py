"""How the console's server is started: on loopback only, whatever the settings files say."""

import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"


def refuse_public(address: str | None) -> None:
    """End the process, with a sentence, unless `address` is of loopback: nobody signs in here yet."""
    if address not in (LOOPBACK, "::1", "localhost"):
        sys.exit(
            f"fleetmeter: the console has no sign-in, so it serves {LOOPBACK} only, not "
            f"{address or 'every address'}; put a proxy that authenticates in front of it"
        )


def command(port: int) -> list[str]:
    """The command line of the console on `port` of loopback; it reads DATABASE_URL from the environment."""
    app = Path(__file__).with_name("app.py")
    options = {
        "server.address": LOOPBACK,
        "server.port": str(port),
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(app), *flags]
