"""Probes of counter and runner over HTTP: figures, liveness, readiness, token, and the table of the docs."""

import re
import threading
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from api import latency
from collectors.mqtt.state import CounterState
from jobs import runner
from jobs.state import RunnerState
from metering.config.settings import Settings
from metering.errors import SettingsError
from metering.probes.figures import GAUGES
from metering.probes.server import serving
from tests.support.mqtt_broker import Mosquitto, Publisher
from tests.support.mqtt_daemon import Running
from tests.support.platform import Platform
from tests.support.ports import free_port
from tests.support.until import until

TOKEN = "t" * 32


def ask(port: int, path: str, token: str | None = None) -> tuple[int, str]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=5) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def test_a_counter_tells_what_it_counts_and_is_not_ready_without_its_broker(
    configured: Settings, platform: Platform, tmp_path: Path
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    port = free_port()
    with Mosquitto(tmp_path) as broker:
        url = SecretStr(broker.url)
        running = Running(configured.model_copy(update={"mqtt_url": url, "counter_metrics_port": port}))
        until(lambda: ask(port, "/readyz") == (200, "ready\n"), 15)
        publisher = Publisher(broker)
        publisher.send(f"roboticks/{organization}/{project}/arm/state", 5, qos=1, size=7)
        publisher.send(f"roboticks/{organization}/{project}/arm/cmd/x", 2, qos=1, size=3)
        publisher.wait()
        publisher.close()
        until(lambda: 'messages_total{direction="outbound"} 2.0' in ask(port, "/metrics")[1], 15)
        assert 'fleetmeter_counter_messages_total{direction="inbound"} 5.0' in ask(port, "/metrics")[1]
    until(lambda: ask(port, "/readyz")[0] == 503, 15)
    assert ask(port, "/healthz") == (200, "ok\n")
    running.finish()


def test_a_runner_counts_its_runs_by_job(configured: Settings, engine: Engine) -> None:
    port, stop = free_port(), threading.Event()
    settings = configured.model_copy(update={"runner_metrics_port": port})
    thread = threading.Thread(target=runner.run, args=(settings, engine, stop), daemon=True)
    thread.start()
    until(lambda: ask(port, "/readyz")[0] == 200, 15)
    for figure in ("invocations", "errors", "duration_seconds", "throttles"):
        line = f'fleetmeter_job_{figure}_total{{job="hourly"}}'
        until(lambda line=line: line in ask(port, "/metrics")[1], 15)  # type: ignore[misc]
    stop.set()
    thread.join(20)
    assert ask(port, "/healthz")[0] == 0


def test_a_hung_thread_is_not_live() -> None:
    counter, working = CounterState(), RunnerState()
    counter.begin_counting()
    working.turn("one")
    assert counter.not_live() is None
    assert working.not_live() is None
    counter.writer_turned_at = working._turned["one"] = time.monotonic() - 121
    assert "writing thread" in str(counter.not_live())
    assert "one has not turned" in str(working.not_live())


def test_metrics_ask_for_the_token_and_are_not_open_to_other_machines(configured: Settings) -> None:
    port = free_port()
    settings = configured.model_copy(update={"metrics_token": SecretStr(TOKEN)})
    with serving(CounterState(), settings, port):
        assert ask(port, "/metrics")[0] == 401
        assert ask(port, "/metrics", TOKEN)[0] == 200
        assert ask(port, "/elsewhere")[0] == 404
    everywhere = configured.model_copy(update={"metrics_address": "192.0.2.1"})
    with (
        pytest.raises(SettingsError, match="FLEETMETER_METRICS_TOKEN"),
        serving(CounterState(), everywhere, port),
    ):
        pass


def test_the_docs_list_every_metric() -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(fleetmeter_\w+)`", page, re.MULTILINE))
    families = [*CounterState().collect(), *RunnerState().collect(), *latency.REGISTRY.collect()]
    names = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    assert listed == names | set(GAUGES)
