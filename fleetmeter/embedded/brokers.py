"""The brokers that can be embedded: their names, configuration and commands."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fleetmeter.embedded import accounts
from fleetmeter.embedded.accounts import Account
from fleetmeter.embedded.errors import BrokerError
from fleetmeter.embedded.ports import HOST
from fleetmeter.extras import install_hint

_SBIN = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")  # often not on an ordinary user's PATH

# Queues that never fill: on one machine a backlog is worth its memory, a dropped message is lost.
# Neither number is 0 ("no limit"). A queue of 0 makes Debian's 2.0.11 disconnect whoever was refused
# one message; and beyond 65,535 unacknowledged messages in flight two of them bear the same packet
# id, and an acknowledgement ends the wrong one.
# The whole state is written each time: seconds apart it costs little, and a kill -9 loses as much.
MOSQUITTO = """\
listener {port} {host}
allow_anonymous true
max_queued_messages 2000000000
max_inflight_messages 65534
persistence true
autosave_interval 5
set_tcp_nodelay true
connection_messages false
log_dest stderr
log_type error
log_type warning
log_type notice
"""

# A commit log of 1 GB instead of a queue for each session: older messages are dropped.
# It speaks MQTT 3.1.1; its MQTT 5 would need a port of its own.
IOTCORE = """\
id = 0
[router]
max_connections = 10000
max_outgoing_packet_count = 200
max_segment_size = 104857600
max_segment_count = 10
[v4.1]
name = "fleetmeter"
listen = "{host}:{port}"
next_connection_delay_ms = 1
[v4.1.connections]
connection_timeout_ms = 60000
max_payload_size = 16777216
max_inflight_count = 100
dynamic_filters = true
"""


@dataclass(frozen=True)
class Kind:
    """A broker program: `name` with its version, its own folder, the account it runs under.

    Its command is to be started inside that folder.
    """

    name: str
    folder: Path
    account: Account
    command: tuple[str, ...]
    template: str

    @property
    def config_file(self) -> Path:
        """Return the path of its configuration file."""
        return self.folder / self.command[-1]

    def config(self, port: int) -> str:
        """Return the content of its configuration file."""
        return self.template.format(host=HOST, port=port)


def mosquitto(home: Path) -> Kind | None:
    """Return mosquitto; None where it is not installed."""
    program = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *_SBIN]))
    if program is None:
        return None
    usage = subprocess.run([program, "-h"], check=False, capture_output=True, text=True).stdout
    release = usage.split("\n", 1)[0].rpartition(" ")[2]
    folder = home / "mosquitto"
    # Root's privileges are gone before it starts, and its paths are relative to its folder: so it
    # keeps its state even where that account could not come in from above.
    account = accounts.serving(folder, ["mosquitto", "nobody"])
    command = (program, "-c", "mosquitto.conf")
    return Kind(f"mosquitto {release}", folder, account, command, MOSQUITTO)


def iotcore(home: Path) -> Kind | None:
    """Return iotcore, which runs as its installation's user; None without the extra `demo`."""
    if find_spec("iotcore") is None:
        return None
    owner = Account("the same user", os.geteuid(), os.getegid())
    quiet = ("--log-level", "CRITICAL")  # it reports every message it routes as an error
    command = (sys.executable, "-P", "-m", "iotcore", *quiet, "--config", "iotcore.toml")
    return Kind(f"iotcore {version('iotcore')}", home / "iotcore", owner, command, IOTCORE)


_MAKERS: dict[str, Callable[[Path], Kind | None]] = {"mosquitto": mosquitto, "iotcore": iotcore}


def choose(home: Path, prefer: str | None) -> list[Kind]:
    """Return the brokers to try, best first. Raises BrokerError if `prefer` is unknown or not installed."""
    if prefer is not None and prefer not in _MAKERS:
        raise BrokerError(f"there is no broker {prefer}; take {' or '.join(_MAKERS)}")
    makers = [_MAKERS[prefer]] if prefer else list(_MAKERS.values())
    kinds = [kind for kind in (make(home) for make in makers) if kind is not None]
    if not kinds:
        raise BrokerError(
            f"{prefer or 'an MQTT broker'} is not installed; install mosquitto, or iotcore "
            f"({install_hint('demo')}), or name a broker of your own with MQTT_URL"
        )
    return kinds
