"""One consumer in a process of its own: `fast` and `plain` are the daemon, `folded` the usual way.

Says that it is ready, waits for the end of its standard input, then connects. `watched` is `fast`, and
says in the end how long each flush took and the longest time in which nothing was read.
"""

import gc
import json
import signal
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from sqlalchemy import Engine, text

from collectors.mqtt import counting, daemon, endpoint
from collectors.mqtt.buffer import Batch
from collectors.mqtt.reader import FastReader
from collectors.mqtt.writer import Writer
from metering.config.settings import Settings, load_settings
from metering.db.engine import open_engine
from metering.db.transactions import transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt


def folded(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Count the usual way: paho's on_message, a dict, an upsert a second, acks after it."""
    counts: dict[tuple[int, int], list[int]] = {}
    unacknowledged: list[int] = []
    to = endpoint.from_settings(settings)
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id=to.client_id, clean_session=False, manual_ack=True
    )

    def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        levels = message.topic.split("/")
        cell = counts.setdefault((int(levels[1]), int(levels[2])), [0, 0])
        cell[0] += 1
        cell[1] += len(message.payload)
        if message.qos:
            unacknowledged.append(message.mid)

    client.on_message = on_message
    if to.tls:
        client.tls_set_context(to.tls)
    client.connect(to.host, to.port)
    client.subscribe(f"{settings.mqtt_topic_root}/#", qos=1)
    with engine.begin() as connection:
        statement = "INSERT INTO mqtt_sessions (client_id, connected) VALUES (:c, true)"
        connection.execute(text(statement + " ON CONFLICT DO NOTHING"), {"c": to.client_id})
    flush_at = time.monotonic() + 1
    while not stop.is_set():
        client.loop(0.1)
        if time.monotonic() >= flush_at or len(unacknowledged) > 10_000:
            usage = {key: MqttUsage(m, 0, b, 0, "") for key, (m, b) in counts.items()}
            counts.clear()
            with transaction(engine) as connection:
                add_mqtt(connection, usage, datetime.now(UTC))
            for packet_id in unacknowledged:
                client.ack(packet_id, 1)
            unacknowledged.clear()
            flush_at = time.monotonic() + 1


def watched(settings: Settings, engine: Engine, stop: threading.Event) -> None:
    """Run the daemon, and note the time of its flushes and reads."""
    flushes: list[tuple[int, float]] = []  # projects, seconds
    pauses: list[float] = []

    class WatchedReader(FastReader):
        ended = 0.0

        def receive(self) -> int:
            began, came = time.monotonic(), super().receive()
            if self.ended and came:
                pauses.append(began - self.ended)
            self.ended = time.monotonic() if self._buffer.counters else 0.0  # not before the first message
            return came

    def flush(writer: Writer, batch: Batch) -> None:
        began = time.monotonic()
        unwatched(writer, batch)
        flushes.append((len(batch.totals.projects), time.monotonic() - began))

    unwatched, Writer.flush = Writer.flush, flush  # type: ignore[method-assign]
    counting.FastReader = WatchedReader  # type: ignore[misc, attr-defined]
    daemon.run(settings, engine, stop)
    print(json.dumps({"flushes": flushes, "pauses": pauses}))


def main(kind: str) -> None:
    """Run `kind` until terminated."""
    settings = load_settings()
    engine = open_engine(settings)
    engine.connect().close()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    gc.freeze()  # as `fleetmeter counter` does
    print("ready", flush=True)
    sys.stdin.read()
    if kind == "folded":
        folded(settings, engine, stop)
    elif kind == "watched":
        watched(settings, engine, stop)
    else:
        daemon.run(settings, engine, stop, plain=kind == "plain")


if __name__ == "__main__":
    main(sys.argv[1])
