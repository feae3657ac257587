"""The drill: publish known counts, kill and cut at random, and compare with what was counted.

Everything happens in a scratch database and under a topic root and client ids of its own, so it may
run against a broker in use. Only QoS 1 and 2 are published: QoS 0 promises nothing across a fault.
"""

import contextlib
import os
import random
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL, create_engine, text

from collectors.mqtt.endpoint import Endpoint
from fleetmeter.drill import publisher, setup
from fleetmeter.drill.fault_proxy import LOOPBACK, FaultProxy
from fleetmeter.drill.members import Member
from fleetmeter.drill.publisher import Publisher
from fleetmeter.drill.result import DrillResult
from metering.catalogue.meters import messages_sql
from metering.config.settings import Settings
from metering.errors import FleetmeterError

PER_TURN = 100  # messages between two looks at the clock
FIRST_MESSAGE_TIMEOUT = 20.0  # seconds that the first message gets
COUNT_TIMEOUT = 60.0  # seconds that counting gets after the last fault
APPLICATION = "fleetmeter counter"


def run(settings: Settings, minutes: float, seed: int, daemons: int = 1) -> int:
    """Drill for `minutes`; print the table, return 0 if no message was lost or counted twice.

    More than one of `daemons` form a shared group, whose members leave and come back.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fleetmeter-drill-") as folder,
        setup.broker(settings, Path(folder)) as broker,
        setup.database(settings) as database,
    ):
        result = exercise(database, broker, minutes * 60, seed, daemons)
    result.show()
    return 0 if result.difference == 0 else 1


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
        self._publisher = Publisher(broker, self._name + "-publisher")
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
        """Wait, without more faults, until every accepted message is counted."""
        for member in self._members:
            member.come_back()
        self._publisher.await_acceptance()
        until = time.monotonic() + COUNT_TIMEOUT
        while self._count() < self._publisher.published and time.monotonic() < until:
            self._revive()
            time.sleep(0.5)
        time.sleep(2)  # a message that is counted twice comes now
        self._result.published, self._result.counted = self._publisher.published, self._count()
        return self._result

    def close(self) -> None:
        """Stop members and publisher; have the broker forget the sessions."""
        for member in self._members:
            member.close()
        self._publisher.close()
        for member in self._members:
            with contextlib.suppress(OSError):
                publisher.forget_session(self._broker, member.client_id)
        self._proxy.close()
        self._engine.dispose()
        self._log.close()

    def _try_one(self) -> None:
        """Refuse a broker whose access list drops these topics: it would do so silently."""
        topic = f"{self._root}/{self._topics[0]}"
        self._publisher.publish(topic, b"", 1)
        self._publisher.await_acceptance()
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
            self._publisher.publish(topic, payload, self._random.choice((1, 1, 1, 2)))
        time.sleep(PER_TURN / 5_000)
        self._publisher.limit_unconfirmed()

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


def _login(broker: Endpoint) -> str:
    if broker.username is None:
        return ""
    password = "" if broker.password is None else f":{quote(broker.password, safe='')}"
    return f"{quote(broker.username, safe='')}{password}@"
