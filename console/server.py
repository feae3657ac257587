"""How the console's server is started: on loopback only, whatever the settings files say."""

import sys
from pathlib import Path

LOOPBACK = "127.0.0.1"


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
