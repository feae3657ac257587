"""A real mosquitto of a test's own, and a publisher that knows what the broker accepted."""

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support import programs
from tests.support.ports import free_port, is_open
from tests.support.until import until

CONFIGURATION = """
listener {port} 127.0.0.1
allow_anonymous {anonymous}
{passwords}
user root
persistence true
persistence_location {folder}/
autosave_interval 1
autosave_on_changes false
max_queued_messages {queued}
max_inflight_messages {window}
set_tcp_nodelay true
{more}
"""


class Mosquitto:
    """mosquitto on a port of its own, its sessions in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        window: int = 65_534,
        queued: int = 2_000_000_000,
        more: str = "",
        password: str | None = None,
        name: str = "broker",
    ) -> None:
        self.port = free_port()
        self.folder = folder = folder / name
        folder.mkdir(exist_ok=True)
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        passwords = self._passwords(password) if password else ""
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                port=self.port, folder=folder, window=window, queued=queued, more=more, passwords=passwords,
                anonymous="false" if password else "true",
            )
        )  # fmt: skip
        folder.chmod(0o777)

    def _passwords(self, password: str) -> str:
        file = self.folder / "passwords"
        subprocess.run(["mosquitto_passwd", "-b", "-c", file, "counter", password], check=True)
        file.chmod(0o644)
        return f"password_file {file}"

    def start(self) -> Self:
        log = (self.folder / "mosquitto.log").open("ab")
        command = [programs.require("mosquitto"), "-c", str(self._configuration)]
        self._process = subprocess.Popen(command, stdout=log, stderr=log)
        process = self._process
        until(lambda: is_open(self.port) or process.poll() is not None, pause=0.02)
        assert process.poll() is None, (self.folder / "mosquitto.log").read_text()
        return self

    def stop(self, kill: bool = False) -> None:
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait(10)
            self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.stop(kill=True)


class Publisher:
    """A device. `wait` returns when the broker has accepted everything at QoS 1 and 2."""

    def __init__(self, broker: Mosquitto | int) -> None:
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(1000)
        port = broker if isinstance(broker, int) else broker.port
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self._sent: list[paho.MQTTMessageInfo] = []

    def send(self, topic: str, count: int = 1, qos: int = 1, size: int = 10, retain: bool = False) -> None:
        for _ in range(count):
            self._sent.append(self._client.publish(topic, b"x" * size, qos=qos, retain=retain))

    def wait(self) -> None:
        for info in self._sent:
            info.wait_for_publish(30)
        self._sent.clear()

    def close(self) -> None:
        self.wait()
        self._client.disconnect()
        self._client.loop_stop()
