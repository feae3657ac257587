"""What following the busiest devices costs the counter daemon: CPU with and without, of the same messages.

From the bytes of the broker to what is written, without socket and database: the part that the setting
changes, so the ratio of a whole daemon is smaller. Batches are added up as before each commit.
"""

import time
from datetime import date

from rich.console import Console
from rich.table import Table

from collectors.mqtt import codec
from collectors.mqtt.counters import TopicCounters
from collectors.mqtt.devices import BusiestDevices
from collectors.mqtt.topics import Topics

OUT = Console(highlight=False, width=120)
MESSAGES, BATCH, ROUNDS, LIMIT = 1_000_000, 40_000, 3, 100
TRAFFIC = {
    "600 topics of 24 projects": lambda number: (number % 24 + 1, number % 600),
    "a million devices of 24 projects": lambda number: (number % 24 + 1, number),
    "a million devices of one project": lambda number: (1, number),
}


def main() -> None:
    """Every kind of traffic, both ways in turns; the best of each."""
    table = Table("traffic", "off, CPU s", f"{LIMIT} devices, CPU s", "×")
    for name, place in TRAFFIC.items():
        batches = [_packets(place, first) for first in range(0, MESSAGES, BATCH)]
        costs = {0: float("inf"), LIMIT: float("inf")}
        for _ in range(ROUNDS):
            for limit, best in costs.items():
                costs[limit] = min(best, _cost(batches, limit))
        ratio = costs[LIMIT] / costs[0]
        table.add_row(name, f"{costs[0]:.2f}", f"{costs[LIMIT]:.2f}", f"{ratio:.2f}")
    OUT.print(table)


def _packets(place, first: int) -> bytes:  # type: ignore[no-untyped-def]
    packets = []
    for number in range(first, first + BATCH):
        project, device = place(number)
        body = b"bench/7/%d/robot-%d/telemetry" % (project, device)
        packet = len(body).to_bytes(2, "big") + body + b"\0" + bytes(64)
        packets.append(bytes([codec.PUBLISH, len(packet)]) + packet)
    return b"".join(packets)


def _cost(batches: list[bytes], limit: int) -> float:
    counters, busiest = TopicCounters(Topics("bench", ("cmd",)), limit), BusiestDevices(limit)
    began, messages = time.process_time(), 0
    for data in batches:
        assert codec.fold(data, True, counters, [], lambda *_: None) == len(data)
        totals = counters.drain()
        messages += totals.messages
        busiest.add(totals.projects, date(2026, 11, 24))
    busiest.begin()
    assert len(busiest.take(MESSAGES)) > 0 or not limit
    assert messages == MESSAGES
    return time.process_time() - began
