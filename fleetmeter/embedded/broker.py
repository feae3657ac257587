"""An MQTT broker on loopback for as long as its starter lives.

broker = start(data_dir)        # mosquitto where it is installed, iotcore otherwise
broker.url, broker.name, broker.alive
broker.stop()
"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleetmeter.embedded import brokers, files, locks, ports, watchdog
from fleetmeter.embedded.brokers import Kind
from fleetmeter.embedded.errors import BrokerError, complaint, explained

_PATIENCE = 10.0  # seconds, for the one before to end and for the new one to listen

LOG = structlog.get_logger("broker")


@dataclass(frozen=True)
class Broker:
    """A running broker: `name` with its version, `pid` of its own process."""

    url: str
    name: str
    pid: int
    _watchdog: "subprocess.Popen[str]"

    @property
    def alive(self) -> bool:
        """Return whether it runs: False after `stop`, or once it ended by itself."""
        return self._watchdog.poll() is None

    def stop(self) -> None:
        """Let it save its state, and end it. May be called twice."""
        _end(self._watchdog)


def start(data_dir: Path, port: int = 1883, prefer: str | None = None) -> Broker:
    """Run a broker with its state in `data_dir`, on `port`, or on another port if that is taken.

    It ends with the returned object or with this process. Where mosquitto is installed but does not
    start, iotcore serves and a warning says so. `prefer` ("mosquitto", "iotcore") allows only that
    one. Raises BrokerError, also when another process runs a broker on the same folder.
    """
    home = data_dir.expanduser().absolute() / "broker"
    with explained(BrokerError, "the embedded broker", home), _alone(home) as life:
        *better, last = brokers.choose(home, prefer)
        for kind in better:
            try:
                return _start(kind, home, port, life)
            except BrokerError as error:
                LOG.warning("broker.failed", broker=kind.name, reason=str(error))
        return _start(last, home, port, life)


@contextmanager
def _alone(home: Path) -> Iterator[int]:
    """Hold the broker's lock: two brokers would write over each other's state."""
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)
    try:
        with locks.exclusive(home / "life", _PATIENCE) as life:
            yield life
    except TimeoutError as error:
        raise BrokerError(
            f"another process already runs the broker of {home}; stop it, or share it: "
            f"MQTT_URL={files.read(home / 'url')}"
        ) from error


def _start(kind: Kind, home: Path, preferred: int, life: int) -> Broker:
    port = preferred if preferred and ports.is_free(preferred) else ports.choose_port(home / "port")
    kind.folder.mkdir(mode=0o700, exist_ok=True)
    files.write(kind.config_file, kind.config(port))
    kind.account.own(kind.folder, kind.config_file)
    guard = _guarded(kind, home, life)
    _await_listening(guard, port, kind, home)
    url = f"mqtt://{ports.HOST}:{port}"
    files.write(home / "url", url)
    return Broker(url, kind.name, _pid(guard), guard)


def _guarded(kind: Kind, home: Path, life: int) -> "subprocess.Popen[str]":
    account = (str(kind.account.uid), str(kind.account.gid))
    with open(files.fresh_log(home / "broker.log"), "ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", watchdog.__file__, *account, *kind.command],
            cwd=kind.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=(life,),
            start_new_session=True,  # a Ctrl-C is its starter's, who stops it last
            text=True,
        )


def _await_listening(guard: "subprocess.Popen[str]", port: int, kind: Kind, home: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _listens(port) or guard.poll() is not None:
        if guard.poll() is not None or time.monotonic() > deadline:
            _end(guard)
            reason = complaint((home / "broker.log").read_text(errors="replace"))
            raise BrokerError(f"{kind.name} does not start ({reason}); see {home / 'broker.log'}")
        time.sleep(locks.POLL)


def _listens(port: int) -> bool:
    try:
        socket.create_connection((ports.HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _pid(guard: "subprocess.Popen[str]") -> int:
    return int(guard.stdout.readline()) if guard.stdout else 0


def _end(guard: "subprocess.Popen[str]") -> None:
    for stream in (guard.stdin, guard.stdout):
        if stream:
            stream.close()
    guard.wait()
