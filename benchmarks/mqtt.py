"""What a message costs the counter, against mosquitto's own C client and against plain paho.

CPU seconds of the consumer per million messages, everything on: exactly-once, database, attribution.
Counts are asserted to be exact in every row. Ratios are taken within the run.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks._mqtt_site import Blaster, Site, consumer, cpu, go, site

OUT = Console(highlight=False, width=120)
BLAST = 400_000
PACED, PACE = 200_000, 20_000
BACKLOG = 1_000_000
# A consumer that stood still has its backlog encoded and waiting: it is the consumer that is measured.
# One that was away gets each message out of the broker's store, which takes the broker longer.
PAUSED, AWAY = "backlog, paused", "backlog, away"
COUNTS = {"20k/s": PACED, "20k/s, TLS": PACED, PAUSED: BACKLOG, AWAY: BLAST}
TRAFFIC = (
    *(("blasted", False), ("blasted, TLS", True), ("20k/s", False), ("20k/s, TLS", True)),
    *((PAUSED, False), (AWAY, False)),
)


def main() -> None:
    """Every comparison, one table."""
    columns = ("traffic", "QoS", "consumer", "CPU s / million", "× sub", "messages/s", "× sub")
    table = Table(*columns, caption="sub: mosquitto_sub, which counts nothing")
    for traffic, tls in TRAFFIC:
        for qos in (0, 1):
            OUT.print(f"measuring: {traffic}, QoS {qos} …", style="dim")
            rows = {kind: _measure(kind, traffic, qos, tls) for kind in ("mosquitto_sub", "folded", "fast")}
            base, pace = rows["mosquitto_sub"]
            for kind, (cost, rate) in rows.items():
                shown = {"folded": "paho folded", "fast": "fleetmeter counter"}.get(kind, kind)
                figures = (f"{cost:.2f}", f"{cost / base:.2f}", f"{rate:,.0f}", f"{rate / pace:.1f}")
                table.add_row(traffic, str(qos), shown, *figures)
            table.add_section()
    OUT.print(table)


def _measure(kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    """(CPU seconds per million messages, messages per second)."""
    with site() as where:
        measure: Callable[..., tuple[float, float]] = _sub if kind == "mosquitto_sub" else _counter
        return measure(where, kind, traffic, qos, tls)


def _counter(where: Site, kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    count = COUNTS.get(traffic, BLAST)
    if traffic == AWAY:
        with consumer(where, kind, "bench") as process:  # makes the session, and leaves
            _connect(where, process)
        _publish(where, traffic, count, qos)
    with consumer(where, kind, "bench", tls) as process:
        if traffic != AWAY:
            _connect(where, process)
        before, began = cpu(process.pid), time.monotonic()
        if traffic == AWAY:
            go(process)
        else:
            began = _publish_to(process, where, traffic, count, qos)
        where.await_counted(count)
        elapsed = time.monotonic() - began
        return (cpu(process.pid) - before) / count * 1e6, count / elapsed


def _sub(where: Site, kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    count = COUNTS.get(traffic, BLAST)
    port = where.tls_port if tls else where.port
    command = [kind, "-h", "localhost", "-p", str(port), "-t", "bench/#", "-q", "1", "-c", "-i", "sub"]
    command += ["-C", str(count), *(["--cafile", str(where.ca)] if tls else [])]
    if traffic == AWAY:
        subprocess.run([*command, "-E"], check=True)
        _publish(where, traffic, count, qos)
    with (where.folder / "received").open("wb") as received:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=received)
        if traffic != AWAY:
            time.sleep(1)
            began = _publish_to(process, where, traffic, count, qos)
        _, status, used = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - began
    assert status == 0
    assert (where.folder / "received").read_bytes().count(b"\n") == count
    return (used.ru_utime + used.ru_stime) / count * 1e6, count / elapsed


def _connect(where: Site, process: "subprocess.Popen[bytes]") -> None:
    go(process)
    where.await_connected("bench")
    time.sleep(0.5)


def _publish_to(process: "subprocess.Popen[bytes]", where: Site, traffic: str, count: int, qos: int) -> float:
    """Publish to a connected consumer; returns the instant from which its speed is measured."""
    if traffic != PAUSED:
        began = time.monotonic()
        _publish(where, traffic, count, qos)
        return began
    process.send_signal(signal.SIGSTOP)
    _publish(where, traffic, count, qos)
    process.send_signal(signal.SIGCONT)
    return time.monotonic()


def _publish(where: Site, traffic: str, count: int, qos: int) -> None:
    blaster = Blaster(where.port)
    blaster.send(where.topics, count, qos, PACE if traffic.startswith("20k/s") else None)
    blaster.close()
