"""Run all of Fleetmeter on one machine: a broker if none is set, then each process, kept alive.

A process that ends is started again after a pause that grows. Ctrl-C stops everything but the embedded
PostgreSQL, which other commands may be using: `fleetmeter db stop` ends it. A demo stops that, too.
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
from metering import backoff
from metering.config.settings import Settings
from metering.config.value_files import override
from metering.errors import FleetmeterError

OUT = terminal.stderr()
LONGEST_PAUSE = 30.0  # seconds between two starts of a process that keeps ending
STABLE = 60.0  # seconds after which its end is not counted as one more failure in a row
GRACE = 15.0  # seconds that a process gets to finish its work


@dataclass
class Process:
    """One supervised process: its command line and how it has fared."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    running: subprocess.Popen[bytes] | None = None
    failures: int = 0
    start_at: float = 0.0

    def start(self) -> None:
        """Start the process."""
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
        """Stop the process and wait for its end."""
        if self.running is not None and self.running.poll() is None:
            self.running.send_signal(signal.SIGTERM)

    def _ended(self, code: int) -> None:
        self.running = None
        lived = time.monotonic() - self.start_at
        self.failures = 1 if lived > STABLE else self.failures + 1
        pause = backoff.seconds(self.failures, longest=LONGEST_PAUSE)
        self.start_at = time.monotonic() + pause
        OUT.print(f"[yellow]{self.name} ended with code {code}; starting it again in {pause:.0f} s")


def fleetmeter(*arguments: str) -> list[str]:
    """Return the command line of a Fleetmeter command in this environment."""
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
    """Return the three processes, with the addresses of database, broker and any simulated AWS."""
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


class EmbeddedServices:
    """The embedded PostgreSQL and broker that the processes need, as far as none is set."""

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
        """Restart processes that ended; report one that cannot start, and try again later."""
        try:
            if self.embedded:
                postgres.ensure_running(self.data_dir)
            if self.broker and not self.broker.alive:
                self.broker = broker.start(self.data_dir, urlsplit(self.mqtt_url).port or 1883)
        except FleetmeterError as error:
            OUT.print(f"[yellow]{error}", soft_wrap=True)

    def leave(self) -> None:
        """Stop the broker; PostgreSQL keeps running."""
        if self.broker:
            self.broker.stop()


def run(
    settings: Settings,
    embedded: bool,
    port: int,
    extra: Sequence[Process],
    stop: threading.Event,
    aws: Mapping[str, str] = MappingProxyType({}),
    started: Callable[[str], None] = lambda _: None,
    at_end: str | None = None,
) -> None:
    """Run broker, counter, runner and console, with `extra` processes after them, until `stop`.

    `embedded`: the database of the settings is the embedded one, to be kept alive as well. `started` is
    called with the broker's URL once it is known. `at_end` says what Ctrl-C does.
    """
    embedded_services = EmbeddedServices(settings, embedded)
    mqtt_url = embedded_services.mqtt_url
    started(mqtt_url)
    OUT.print(f"console: http://{settings.console_address}:{port}")
    OUT.print(at_end or _at_end(settings, embedded), soft_wrap=True)
    try:
        for process in extra:
            process.environment = {**process.environment, "MQTT_URL": mqtt_url}
        supervise([*services(settings, mqtt_url, port, aws), *extra], stop, embedded_services.keep)
    finally:
        embedded_services.leave()


def _at_end(settings: Settings, embedded: bool) -> str:
    if not embedded:
        return "Ctrl-C stops everything that this command started."
    return (
        f"Ctrl-C stops everything but the embedded PostgreSQL in {settings.data_dir}, which other commands "
        "may be using; stop it with: fleetmeter db stop"
    )
