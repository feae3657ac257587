"""The drill: publish known counts, kill and cut at random, and compare with what was counted.

Everything happens in a scratch database and under a topic root and client ids of its own, so it may
run against a broker in use. Only QoS 1 and 2 are published: QoS 0 promises nothing across a fault.
"""

import contextlib
import os
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from rich.table import Table
from sqlalchemy import URL, create_engine, text

from collectors.mqtt.endpoint import Endpoint
from fleetmeter.cli import terminal
from fleetmeter.drill import setup
from fleetmeter.drill.fault_proxy import LOOPBACK, FaultProxy
from fleetmeter.drill.members import Member
from metering.catalogue.meters import messages_sql
from metering.config.settings import Settings
from metering.errors import FleetmeterError

OUT = terminal.stdout()
PER_TURN = 100  # messages between two looks at the clock
MAX_UNCONFIRMED = 5_000
FIRST_MESSAGE_TIMEOUT = 20.0  # seconds that the first message gets
COUNT_TIMEOUT = 60.0  # seconds that counting gets after the last fault
APPLICATION = "fleetmeter counter"
LOST = (
    "Messages that the broker had accepted never came. It may drop what waits for a client that is away "
    "(mosquitto: max_queued_messages, 1000 by default); deploy/mosquitto.conf has what it needs."
)
TWICE = (
    "Messages came twice. A broker that sends again under new packet ids cannot be counted exactly; "
    "collectors/mqtt/session.py says what exactness rests on."
)


@dataclass
class DrillResult:
    """Messages the broker accepted, messages counted, and what was done to the daemons meanwhile."""

    seed: int
    daemons: int = 1
    published: int = 0
    counted: int = 0
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def difference(self) -> int:
        """Return messages counted less messages published."""
        return self.counted - self.published


def run(settings: Settings, minutes: float, seed: int, daemons: int = 1) -> int:
    """Drill for `minutes`; prints the table and returns 0 if nothing was lost or counted twice.

    More than one of `daemons` form a shared group, whose members leave and come back.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fleetmeter-drill-") as folder,
        setup.broker(settings, Path(folder)) as broker,
        setup.database(settings) as database,
    ):
        result = exercise(database, broker, minutes * 60, seed, daemons)
    show(result)
    if result.difference:
        OUT.print(LOST if result.difference < 0 else TWICE)
    return 0 if result.difference == 0 else 1


def show(result: DrillResult) -> None:
    """Print the figures as a table."""
    table = Table("seed", "daemons", "faults", "published", "counted", "difference")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(result.faults.items()))
    figures = (result.published, result.counted, result.difference)
    table.add_row(str(result.seed), str(result.daemons), kinds, *(f"{figure:,}" for figure in figures))
    OUT.print(table)


def exercise(database: URL, broker: Endpoint, seconds: float, seed: int, daemons: int = 1) -> DrillResult:
    """Publish and break things for `seconds`, then let the daemons finish and count."""
    drill = _Drill(database, broker, seed, daemons)
    try:
        drill.break_things(seconds)
        return drill.await_counts()
    finally:
        drill.close()


class _Drill:
    def __init__(self, database: URL, broker: Endpoint, seed: int, daemons: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - faults to be repeated, not secrets
        self._result = DrillResult(seed, daemons)
        self._engine = create_engine(database)
        self._topics = setup.fill(self._engine)
        self._name = f"fleetmeter-drill-{os.getpid()}"
        self._root = f"fleetmeter-drill/{os.getpid()}"
        self._broker = broker
        self._proxy = FaultProxy(broker.host, broker.port, seed, broker.tls)
        environment = {
            "DATABASE_URL": database.render_as_string(hide_password=False),
            "MQTT_URL": f"mqtt://{_login(broker)}{LOOPBACK}:{self._proxy.port}",
            "MQTT_TOPIC_ROOT": self._root,
            "MQTT_SHARED_GROUP": self._name if daemons > 1 else "",
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the drill
        names = [f"{self._name}-{number}" for number in range(1, daemons + 1)]
        self._members = [Member(name, environment, self._log) for name in names]
        self._await_subscriptions()
        self._publisher = self._client(self._name + "-publisher")
        self._publisher.loop_start()
        self._unconfirmed: list[paho.MQTTMessageInfo] = []
        self._try_one()

    def break_things(self, seconds: float) -> None:
        """Cause a fault every second or two, and publish all the time."""
        faults = [self.kill, self.cut, self.disconnect_database, self.take_over, self.restart]
        if len(self._members) > 1:
            faults.append(self.leave)
        now = time.monotonic()
        until, next_fault = now + seconds, now + 1
        while (now := time.monotonic()) < until:
            self._publish()
            if now >= next_fault:
                fault = self._random.choice(faults)
                fault()
                self._result.faults[fault.__name__.replace("_", " ")] += 1
                next_fault = time.monotonic() + self._random.uniform(0.2, 2.5)

    def kill(self) -> None:
        self._member().kill()

    def restart(self) -> None:
        self._member().restart()

    def leave(self) -> None:
        """Have a member of the group leave, and come back later."""
        self._member().leave(self._random.uniform(1, 10))

    def take_over(self) -> None:
        self._member().take_over()

    def cut(self) -> None:
        self._proxy.cut()

    def disconnect_database(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(
                text("""SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE application_name = :name AND datname = current_database()"""),
                {"name": APPLICATION},
            )

    def await_counts(self) -> DrillResult:
        """Wait, without more faults, until everything that the broker accepted is counted."""
        for member in self._members:
            member.come_back()
        self._await_acceptance()
        until = time.monotonic() + COUNT_TIMEOUT
        while self._count() < self._result.published and time.monotonic() < until:
            self._revive()
            time.sleep(0.5)
        time.sleep(2)  # whatever is counted twice comes now
        self._result.counted = self._count()
        return self._result

    def close(self) -> None:
        """Stop everything and have the broker forget the session."""
        for member in self._members:
            member.close()
        self._publisher.loop_stop()
        for member in self._members:
            with contextlib.suppress(OSError):
                client = self._client(member.client_id)
                client.loop_start()
                client.disconnect()
                client.loop_stop()
        self._proxy.close()
        self._engine.dispose()
        self._log.close()

    def _try_one(self) -> None:
        """Refuse a broker whose access list drops these topics: it would do so silently."""
        topic = f"{self._root}/{self._topics[0]}"
        self._unconfirmed.append(self._publisher.publish(topic, b"", qos=1))
        self._result.published = 1
        self._await_acceptance()
        until = time.monotonic() + FIRST_MESSAGE_TIMEOUT
        while self._count() < 1:
            if time.monotonic() > until:
                raise FleetmeterError(
                    f"the broker does not pass on what is published to {topic}; allow this user to "
                    "read and write fleetmeter-drill/# (mosquitto: in its acl_file)"
                )
            time.sleep(0.1)

    def _publish(self) -> None:
        self._revive()
        for _ in range(PER_TURN):
            topic = f"{self._root}/{self._random.choice(self._topics)}"
            payload = bytes(self._random.randrange(100))
            info = self._publisher.publish(topic, payload, qos=self._random.choice((1, 1, 1, 2)))
            self._unconfirmed.append(info)
        self._result.published += PER_TURN
        time.sleep(PER_TURN / 5_000)
        if len(self._unconfirmed) > MAX_UNCONFIRMED:
            self._await_acceptance()

    def _await_acceptance(self) -> None:
        for info in self._unconfirmed:
            info.wait_for_publish(30)
            if not info.is_published():
                raise FleetmeterError("the broker stopped accepting messages; the drill proves nothing")
        self._unconfirmed.clear()

    def _count(self) -> int:
        query = text(f"""SELECT coalesce((SELECT sum({messages_sql()}) FROM usage_hourly), 0)
            + coalesce((SELECT sum(messages) FROM unattributed_messages), 0)""")
        with self._engine.connect() as connection:
            return int(connection.scalar(query) or 0)

    def _member(self) -> Member:
        return self._random.choice(self._members)

    def _revive(self) -> None:
        for member in self._members:
            member.revive()

    def _await_subscriptions(self) -> None:
        query = text("SELECT count(*) FROM mqtt_sessions WHERE connected")
        for _ in range(300):
            with self._engine.connect() as connection:
                if connection.scalar(query) == len(self._members):
                    return
            time.sleep(0.1)
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
        raise FleetmeterError(f"the counter does not reach the broker; its last line: {lines[-1]}")

    def _client(self, client_id: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True)
        client.max_inflight_messages_set(1000)
        client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls:
            client.tls_set_context(self._broker.tls)
        client.connect(self._broker.host, self._broker.port)
        return client


def _login(broker: Endpoint) -> str:
    if broker.username is None:
        return ""
    password = "" if broker.password is None else f":{quote(broker.password, safe='')}"
    return f"{quote(broker.username, safe='')}{password}@"
