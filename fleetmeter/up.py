"""All of Fleetmeter on one machine: a broker if none is set, then each process, kept alive.

A process that ends is started again after a pause that grows; the counter's exit code for "another
daemon took over" is respected. Ctrl-C stops everything; the embedded PostgreSQL stays up, since
other commands may be using it, until `fleetmeter db stop`.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlsplit

from fleetmeter.cli import terminal
from fleetmeter.embedded import broker, postgres
from metering.config.settings import Settings
from metering.config.value_files import override
from metering.errors import FleetmeterError

OUT = terminal.stderr()
LONGEST_PAUSE = 30.0  # seconds between two starts of a process that keeps ending
GRACE = 15.0  # seconds a process gets to finish what it does


@dataclass
class Process:
    """One supervised process: its command line and how it has fared."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    running: subprocess.Popen[bytes] | None = None
    pause: float = 0.5
    start_at: float = 0.0

    def start(self) -> None:
        # A session of its own: Ctrl-C reaches us alone, and we stop the others in order.
        self.running = subprocess.Popen(
            self.command, env=override(os.environ, self.environment), start_new_session=True
        )
        self.start_at = time.monotonic()

    def tend(self) -> None:
        """Start it, or start it again after a pause when it ended."""
        if self.running is not None and self.running.poll() is None:
            return
        if self.running is not None:
            self._ended(self.running.returncode)
        elif time.monotonic() >= self.start_at:
            self.start()

    def stop(self) -> None:
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)

    def _ended(self, code: int) -> None:
        self.running = None
        lived = time.monotonic() - self.start_at
        self.pause = 0.5 if lived > 60 else min(self.pause * 2, LONGEST_PAUSE)
        self.start_at = time.monotonic() + self.pause
        OUT.print(f"[yellow]{self.name} ended with code {code}; starting it again in {self.pause:.0f} s")


def fleetmeter(*arguments: str) -> list[str]:
    """The command line of a Fleetmeter command in this environment."""
    return [sys.executable, "-P", "-m", "fleetmeter.cli", *arguments]


def supervise(processes: Sequence[Process], stop: threading.Event, keep: Callable[[], None]) -> None:
    """Keep `processes` alive until `stop`, then stop them, the last started first.

    `keep` is called every two seconds, to keep alive what they stand on.
    """
    try:
        for beat in itertools.count():
            if beat % 10 == 0:
                keep()
            for process in processes:
                process.tend()
            if stop.wait(0.2):
                return
    finally:
        for process in reversed(processes):
            process.stop()
        _wait(processes)


def _wait(processes: Sequence[Process]) -> None:
    deadline = time.monotonic() + GRACE
    for process in processes:
        if process.running is None:
            continue
        try:
            process.running.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.running.kill()


def services(settings: Settings, mqtt_url: str, port: int, aws: Mapping[str, str]) -> list[Process]:
    """The three processes, told where the database, the broker and perhaps a simulated AWS are."""
    environment = {
        **aws,
        "DATABASE_URL": settings.database.render_as_string(hide_password=False),
        "MQTT_URL": mqtt_url,
        "FLEETMETER_DATA_DIR": str(settings.data_dir),
    }
    commands = {
        "counter": fleetmeter("counter"),
        "runner": fleetmeter("runner"),
        "console": fleetmeter("console", "--port", str(port)),
    }
    return [Process(name, command, environment) for name, command in commands.items()]


class Ground:
    """What the processes stand on, as far as it is ours: the embedded PostgreSQL and the broker."""

    def __init__(self, settings: Settings, embedded: bool) -> None:
        self.data_dir = settings.data_dir
        self.embedded = embedded
        self.broker = None if settings.mqtt_url else broker.start(self.data_dir)
        self.mqtt_url = (
            self.broker.url
            if self.broker
            else str(settings.mqtt_url and settings.mqtt_url.get_secret_value())
        )
        if self.broker:
            OUT.print(f"broker: {self.broker.name} on {self.mqtt_url}")

    def keep(self) -> None:
        """Start again what was killed; what cannot be started is said, and tried again later."""
        try:
            if self.embedded:
                postgres.ensure_running(self.data_dir)
            if self.broker and not self.broker.alive:
                self.broker = broker.start(self.data_dir, urlsplit(self.mqtt_url).port or 1883)
        except FleetmeterError as error:
            OUT.print(f"[yellow]{error}", soft_wrap=True)

    def leave(self) -> None:
        """Stop the broker; PostgreSQL stays."""
        if self.broker:
            self.broker.stop()


def run(
    settings: Settings,
    embedded: bool,
    port: int,
    extra: Sequence[Process],
    stop: threading.Event,
    aws: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Broker, counter, runner and console, with `extra` processes after them, until `stop`.

    `embedded`: the database of the settings is the embedded one, to be kept alive as well.
    """
    ground = Ground(settings, embedded)
    OUT.print(f"console: http://{settings.console_address}:{port}  (Ctrl-C stops everything)")
    try:
        for process in extra:
            process.environment = {**process.environment, "MQTT_URL": ground.mqtt_url}
        supervise([*services(settings, ground.mqtt_url, port, aws), *extra], stop, ground.keep)
    finally:
        ground.leave()
