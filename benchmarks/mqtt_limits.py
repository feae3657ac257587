"""Where the counter must stay within bounds: freshness, idle cost, memory, many projects.

FLEETMETER_BENCH_MESSAGES sets how many messages the memory run takes (10 million by default).
"""

import json
import os
import statistics
import threading
import time

from rich.console import Console
from rich.table import Table
from sqlalchemy import text

from benchmarks._mqtt_publisher import FastPublisher
from benchmarks._mqtt_site import Site, consumer, go, site
from benchmarks._process import cpu, resident_mb

OUT = Console(highlight=False, width=120)
MESSAGES = int(os.environ.get("FLEETMETER_BENCH_MESSAGES", "10000000"))
MANY = 10_000  # projects


def main() -> None:
    """One row for each bound, with what it must be."""
    table = Table("what", "measured", "bound")
    for measure in (freshness, idle, many_messages, many_topics, many_projects):
        OUT.print(f"measuring: {measure.__name__} …", style="dim")
        for row in measure():
            OUT.print("  ", *row, style="dim")
            table.add_row(*row)
    OUT.print(table)


def freshness() -> list[tuple[str, str, str]]:
    """Publish to visible in project_stats, one message at a time over 1,000 others a second."""
    query = text("SELECT coalesce(sum(mqtt_inbound), 0) FROM project_stats WHERE project_id = :id")
    with site() as bench_site, consumer(bench_site, "fast", "bench") as process:
        _connect(bench_site, process)
        others = threading.Thread(target=_send, args=(bench_site, bench_site.topics[1:20], 60_000, 0, 1000))
        others.start()
        probe, seconds = FastPublisher(bench_site.port), []
        identifier = int(bench_site.topics[0].split(b"/")[2])
        with bench_site.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            for number in range(1, 101):
                began = time.monotonic()
                probe.send(bench_site.topics[:1], 1, 1)
                while connection.scalar(query, {"id": identifier}) < number:
                    time.sleep(0.005)
                seconds.append(time.monotonic() - began)
                time.sleep(0.037 * (number % 7))
                if not others.is_alive():
                    break
        others.join()
    p99 = statistics.quantiles(seconds, n=100)[98]
    return [("publish to visible, p50", f"{statistics.median(seconds):.2f} s", ""),
            (f"publish to visible, p99 of {len(seconds)}", f"{p99:.2f} s", "1.5 s")]  # fmt: skip


def idle() -> list[tuple[str, str, str]]:
    """Measure a core's share at 10 messages a second."""
    with site() as bench_site, consumer(bench_site, "fast", "bench") as process:
        _connect(bench_site, process)
        time.sleep(1)
        before = cpu(process.pid)
        _send(bench_site, bench_site.topics, 300, 1, 10)
        bench_site.await_counted(300)
        share = (cpu(process.pid) - before) / 30
    return [("CPU at 10 messages/s, commits included", f"{share:.2%}", "1 % of a core")]


def many_messages() -> list[tuple[str, str, str]]:
    """Resident memory after each tenth of the messages."""
    tenth = MESSAGES // 10
    with site() as bench_site, consumer(bench_site, "fast", "bench") as process:
        _connect(bench_site, process)
        memory = []
        for number in range(1, 11):
            _send(bench_site, bench_site.topics, tenth, 0)
            bench_site.await_counted(number * tenth, 600)
            memory.append(resident_mb(process.pid))
    steps = " ".join(f"{used:.0f}" for used in memory)
    return [
        (f"memory after {MESSAGES:,} messages", f"{memory[-1] - memory[0]:+.1f} MB since 10 %", "flat"),
        (f"memory after each {tenth:,}, MB", steps, ""),
    ]


def many_topics() -> list[tuple[str, str, str]]:
    """Measure memory at a million topics, each used once."""
    with site() as bench_site, consumer(bench_site, "fast", "bench") as process:
        _connect(bench_site, process)
        prefix = bench_site.topics[0].rpartition(b"/robot-")[0]
        publisher = FastPublisher(bench_site.port)
        for start in range(0, 1_000_000, 50_000):
            topics = [prefix + b"/robot-%d/telemetry" % n for n in range(start, start + 50_000)]
            publisher.send(topics, 50_000, 0)
        bench_site.await_counted(1_000_000)
        used = resident_mb(process.pid)
    return [("memory after a million distinct topics", f"{used:.0f} MB", "150 MB")]


def many_projects() -> list[tuple[str, str, str]]:
    """Each flush writes 10,000 projects; the reader goes on meanwhile."""
    with site(MANY) as bench_site, consumer(bench_site, "watched", "bench") as process:
        _connect(bench_site, process)
        _send(bench_site, bench_site.topics, 400_000, 0, 20_000)
        bench_site.await_counted(400_000)
        process.terminate()
        assert process.stdout
        noted = json.loads(process.stdout.read().splitlines()[-1])  # before it: the log
    first, *flushes = (1000 * seconds for projects, seconds in noted["flushes"] if projects == MANY)
    pauses = [1000 * seconds for seconds in noted["pauses"]]
    usual, longest = statistics.median(pauses), max(pauses)
    return [
        (
            f"a flush of {MANY:,} projects, median of {len(flushes)}",
            f"{statistics.median(flushes):.0f} ms",
            "",
        ),
        (f"a flush of {MANY:,} projects, slowest", f"{max(flushes):.0f} ms", "300 ms"),
        ("the first flush, which creates their rows", f"{first:.0f} ms", ""),
        ("nothing read meanwhile, at most", f"{longest:.0f} ms, usually {usual:.0f}", "not stalled"),
    ]


def _connect(bench_site: Site, process: object) -> None:
    go(process)  # type: ignore[arg-type]
    bench_site.await_connected("bench")
    time.sleep(0.3)


def _send(bench_site: Site, topics: list[bytes], count: int, qos: int, rate: float | None = None) -> None:
    publisher = FastPublisher(bench_site.port)
    publisher.send(topics, count, qos, rate)
    publisher.close()
