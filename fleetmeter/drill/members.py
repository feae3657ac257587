"""The counter daemons of a drill, each started again as a service manager would."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import IO

from metering.config.value_files import override

MAX_PROCESSES = 2  # of a member: the one that counts, and one that it has replaced and that stands by


class Member:
    """A counter daemon under one client id, and the processes that are or were it."""

    def __init__(self, client_id: str, environment: Mapping[str, str], log: IO[bytes]) -> None:
        self.client_id = client_id
        self._environment = {**environment, "MQTT_CLIENT_ID": client_id}
        self._log = log
        self._processes: list[subprocess.Popen[bytes]] = []
        self._away_until = 0.0  # monotonic seconds
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", "fleetmeter.cli", "counter"]
        environment = override(os.environ, self._environment)
        self._processes.append(subprocess.Popen(command, env=environment, stdout=self._log, stderr=self._log))

    def revive(self) -> None:
        """Start the newest process again if it has ended, unless the member is away."""
        if time.monotonic() < self._away_until:
            return
        ended = not self._processes or self._processes[-1].poll() is not None
        self._processes = [process for process in self._processes if process.poll() is None]
        if ended:
            self._make_room()
            self._start()

    def kill(self) -> None:
        """Kill the daemon without a chance to finish."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop the daemon and start it again."""
        self._end(signal.SIGTERM)

    def take_over(self) -> None:
        """Start a second process under the same client id; the first stands by."""
        self._make_room()
        self._start()

    def leave(self, seconds: float) -> None:
        """Stop every process of this member, and keep it away for a while."""
        self._away_until = time.monotonic() + seconds
        for process in self._processes:
            process.send_signal(signal.SIGTERM)

    def come_back(self) -> None:
        """Start the daemon again after an absence."""
        self._away_until = 0.0
        self.revive()

    def close(self) -> None:
        """Stop the daemon and wait for its end."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _end(self, number: signal.Signals) -> None:
        if self._processes:
            self._processes[-1].send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._processes[-1].wait(0.5)

    def _make_room(self) -> None:
        while len(self._processes) >= MAX_PROCESSES:
            oldest = self._processes.pop(0)
            oldest.kill()
            oldest.wait()
