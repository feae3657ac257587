"""What a message costs the counter, against mosquitto's own C client and against plain paho.

CPU seconds of the consumer per million messages, everything on: exactly-once, database, attribution.
Counts are asserted to be exact in every row. Ratios are taken within the run.
"""

import os
import subprocess
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from benchmarks._mqtt_site import Blaster, Site, consumer, cpu, go, site

OUT = Console(highlight=False, width=120)
BLAST = 400_000
PACED, PACE = 200_000, 20_000
BACKLOG = 400_000


def main() -> None:
    """Every comparison, one table."""
    table = Table("traffic", "QoS", "consumer", "CPU s / million", "× mosquitto_sub", "messages/s")
    for traffic, tls in (("blasted", False), ("blasted, TLS", True), ("20k/s", False), ("backlog", False)):
        for qos in (0, 1):
            OUT.print(f"measuring: {traffic}, QoS {qos} …", style="dim")
            rows = {kind: _measure(kind, traffic, qos, tls) for kind in ("mosquitto_sub", "folded", "fast")}
            base = rows["mosquitto_sub"][0]
            for kind, (cost, rate) in rows.items():
                shown = {"folded": "paho folded", "fast": "fleetmeter counter"}.get(kind, kind)
                ratio = f"{cost / base:.2f}"
                table.add_row(traffic, str(qos), shown, f"{cost:.2f}", ratio, f"{rate:,.0f}")
            table.add_section()
    OUT.print(table)


def _measure(kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    """(CPU seconds per million messages, messages per second)."""
    with site() as where:
        measure: Callable[..., tuple[float, float]] = _sub if kind == "mosquitto_sub" else _counter
        return measure(where, kind, traffic, qos, tls)


def _counter(where: Site, kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    count = {"20k/s": PACED, "backlog": BACKLOG}.get(traffic, BLAST)
    if traffic == "backlog":
        with consumer(where, kind, "bench") as process:  # makes the session, and leaves
            go(process)
            where.await_connected("bench")
            time.sleep(0.5)
        _publish(where, traffic, count, qos)
    with consumer(where, kind, "bench", tls) as process:
        before = cpu(process.pid)
        began = time.monotonic()
        go(process)
        if traffic != "backlog":
            where.await_connected("bench")
            time.sleep(0.5)
            before, began = cpu(process.pid), time.monotonic()
            _publish(where, traffic, count, qos)
        where.await_counted(count)
        elapsed = time.monotonic() - began
        return (cpu(process.pid) - before) / count * 1e6, count / elapsed


def _sub(where: Site, kind: str, traffic: str, qos: int, tls: bool) -> tuple[float, float]:
    count = {"20k/s": PACED, "backlog": BACKLOG}.get(traffic, BLAST)
    port = where.tls_port if tls else where.port
    command = [kind, "-h", "localhost", "-p", str(port), "-t", "bench/#", "-q", "1", "-c", "-i", "sub"]
    command += ["-C", str(count), *(["--cafile", str(where.ca)] if tls else [])]
    if traffic == "backlog":
        subprocess.run([*command, "-E"], check=True)
        _publish(where, traffic, count, qos)
    with (where.folder / "received").open("wb") as received:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=received)
        if traffic != "backlog":
            time.sleep(1)
            began = time.monotonic()
            _publish(where, traffic, count, qos)
        _, status, used = os.wait4(process.pid, 0)
        elapsed = time.monotonic() - began
    assert status == 0
    assert (where.folder / "received").read_bytes().count(b"\n") == count
    return (used.ru_utime + used.ru_stime) / count * 1e6, count / elapsed


def _publish(where: Site, traffic: str, count: int, qos: int) -> None:
    blaster = Blaster(where.port)
    blaster.send(where.topics, count, qos, PACE if traffic == "20k/s" else None)
    blaster.close()
