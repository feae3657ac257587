"""A real Prometheus with the configuration of deploy/prometheus, at the addresses of a test's processes."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support import programs
from tests.support.ports import free_port
from tests.support.until import until

DEPLOY = Path(__file__).parents[2] / "deploy"


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self.address}/api/v1/{path}", params=parameters, timeout=10).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expression: str) -> list[Any]:
        return list(self.ask("query", query=expression)["result"])

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.address}/-/ready", timeout=5).is_success
        except httpx.TransportError:
            return False


@contextmanager
def reading(folder: Path, targets: Mapping[str, str], token: str) -> Iterator[Prometheus]:
    """Run Prometheus with the deployed configuration, and yield its API.

    `targets` maps each process to its host:port.
    """
    settings = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s", "scrape_timeout": "1s"}
    (job,) = settings["scrape_configs"]
    (folder / "token").write_text(token)
    job["authorization"]["credentials_file"] = "token"
    for entry in job["static_configs"]:
        entry["targets"] = [targets[entry["labels"]["process"]]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(DEPLOY / "prometheus" / "rules.yml", folder)
    port = free_port()
    command = [
        programs.require("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            server = Prometheus(port)
            until(server.is_up, 30)
            yield server
        finally:
            process.terminate()
            process.wait(20)
