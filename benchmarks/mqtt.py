"""What a message costs the counter, against mosquitto's own C client and against plain paho.

CPU seconds of the consumer per million messages, everything on: exactly-once, database, attribution.
Counts are asserted to be exact in every row. Ratios are taken within the run. The broker's own CPU stands
beside them: a broker busy all the time is what limits the speed, whoever consumes.

FLEETMETER_BENCH_TRAFFIC names the traffic to measure, such as "blasted, TLS"; several with ";". With
FLEETMETER_BENCH_ROUNDS of more than one the consumers take turns, and each shows the best it did: on a
machine that others use as well, the rest is theirs.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks._mqtt_publisher import FastPublisher
from benchmarks._mqtt_site import Site, consumer, go, site
from benchmarks._process import cpu
from collectors.mqtt.reader import DECODER

OUT = Console(highlight=False, width=120)
ROUNDS = int(os.environ.get("FLEETMETER_BENCH_ROUNDS", "1"))
BLAST = 400_000
PACED, PACE = 200_000, 20_000
BACKLOG = 1_000_000
# A consumer that stood still has its backlog encoded and waiting: it is the consumer that is measured.
# One that was away gets each message out of the broker's store, which takes the broker longer.
PAUSED, AWAY = "backlog, paused", "backlog, away"
COUNTS = {"20k/s": PACED, "20k/s, TLS": PACED, PAUSED: BACKLOG, AWAY: BLAST}
CONSUMERS = {"mosquitto_sub": "mosquitto_sub", "folded": "paho folded", "fast": "fleetmeter counter"}
CAPTION = (
    "sub: mosquitto_sub, which counts nothing · broker busy: its share of a core meanwhile"
    f" · our decoder: {DECODER}"
)
TRAFFIC = (
    *(("blasted", False), ("blasted, TLS", True), ("20k/s", False), ("20k/s, TLS", True)),
    *((PAUSED, False), (AWAY, False)),
)


class Figures(NamedTuple):
    """CPU seconds per million messages of consumer and broker, messages per second, the broker's load."""

    cost: float
    rate: float
    broker_cost: float

    def or_better(self, other: "Figures") -> "Figures":
        """Return the lower cost, and the higher speed with the broker's cost of that run."""
        faster = max(self, other, key=lambda figures: figures.rate)
        return Figures(min(self.cost, other.cost), faster.rate, faster.broker_cost)

    @property
    def broker_load(self) -> float:
        """The share of a core that the broker used."""
        return self.broker_cost * self.rate / 1e6


def main() -> None:
    """Every comparison, one table."""
    columns = ("traffic", "QoS", "consumer", "CPU s/million", "× sub", "messages/s", "× sub", "broker busy")
    table = Table(*columns, caption=CAPTION)
    for traffic, tls in _chosen_traffic():
        for qos in (0, 1):
            OUT.print(f"measuring: {traffic}, QoS {qos} …", style="dim")
            rows = {kind: _measure(kind, traffic, qos, tls) for kind in CONSUMERS}
            for _ in range(1, ROUNDS):
                for kind, figures in rows.items():
                    rows[kind] = figures.or_better(_measure(kind, traffic, qos, tls))
            for kind, figures in rows.items():
                table.add_row(traffic, str(qos), CONSUMERS[kind], *_cells(figures, rows["mosquitto_sub"]))
            table.add_section()
    OUT.print(table)


def _chosen_traffic() -> list[tuple[str, bool]]:
    names = [name for name in os.environ.get("FLEETMETER_BENCH_TRAFFIC", "").split(";") if name]
    return [(traffic, tls) for traffic, tls in TRAFFIC if not names or traffic in names]


def _cells(figures: Figures, base: Figures) -> tuple[str, ...]:
    return (
        *(f"{figures.cost:.2f}", f"{figures.cost / base.cost:.2f}"),
        *(f"{figures.rate:,.0f}", f"{figures.rate / base.rate:.1f}"),
        f"{figures.broker_load:.0%}",
    )


def _measure(kind: str, traffic: str, qos: int, tls: bool) -> Figures:
    with site() as bench_site:
        measure: Callable[..., Figures] = _sub if kind == "mosquitto_sub" else _counter
        return measure(bench_site, kind, traffic, qos, tls)


def _counter(bench_site: Site, kind: str, traffic: str, qos: int, tls: bool) -> Figures:
    count = COUNTS.get(traffic, BLAST)
    if traffic == AWAY:
        with consumer(bench_site, kind, "bench") as process:  # makes the session, and leaves
            _connect(bench_site, process)
        _publish(bench_site, traffic, count, qos)
    with consumer(bench_site, kind, "bench", tls) as process:
        if traffic != AWAY:
            _connect(bench_site, process)
        before, began, broker = cpu(process.pid), time.monotonic(), cpu(bench_site.broker_pid)
        if traffic == AWAY:
            go(process)
        else:
            began, broker = _publish_to(process, bench_site, traffic, count, qos)
        bench_site.await_counted(count)
        elapsed = time.monotonic() - began
        broker = cpu(bench_site.broker_pid) - broker
        return Figures((cpu(process.pid) - before) / count * 1e6, count / elapsed, broker / count * 1e6)


def _sub(bench_site: Site, kind: str, traffic: str, qos: int, tls: bool) -> Figures:
    count = COUNTS.get(traffic, BLAST)
    port = bench_site.tls_port if tls else bench_site.port
    command = [kind, "-h", "localhost", "-p", str(port), "-t", "bench/#", "-q", "1", "-c", "-i", "sub"]
    command += ["-C", str(count), *(["--cafile", str(bench_site.ca)] if tls else [])]
    if traffic == AWAY:
        subprocess.run([*command, "-E"], check=True)
        _publish(bench_site, traffic, count, qos)
    with (bench_site.folder / "received").open("wb") as received:
        began, broker = time.monotonic(), cpu(bench_site.broker_pid)
        process = subprocess.Popen(command, stdout=received)
        if traffic != AWAY:
            time.sleep(1)
            began, broker = _publish_to(process, bench_site, traffic, count, qos)
        _, status, used = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - began
        broker = cpu(bench_site.broker_pid) - broker
    assert status == 0
    assert (bench_site.folder / "received").read_bytes().count(b"\n") == count
    return Figures((used.ru_utime + used.ru_stime) / count * 1e6, count / elapsed, broker / count * 1e6)


def _connect(bench_site: Site, process: "subprocess.Popen[bytes]") -> None:
    go(process)
    bench_site.await_connected("bench")
    time.sleep(0.5)


def _publish_to(
    process: "subprocess.Popen[bytes]", bench_site: Site, traffic: str, count: int, qos: int
) -> tuple[float, float]:
    """Publish to a connected consumer; return the instant, and the broker's CPU, to measure from."""
    if traffic != PAUSED:
        began = time.monotonic(), cpu(bench_site.broker_pid)
        _publish(bench_site, traffic, count, qos)
        return began
    process.send_signal(signal.SIGSTOP)
    _publish(bench_site, traffic, count, qos)
    began = time.monotonic(), cpu(bench_site.broker_pid)
    process.send_signal(signal.SIGCONT)
    return began


def _publish(bench_site: Site, traffic: str, count: int, qos: int) -> None:
    publisher = FastPublisher(bench_site.port)
    publisher.send(bench_site.topics, count, qos, PACE if traffic.startswith("20k/s") else None)
    publisher.close()
