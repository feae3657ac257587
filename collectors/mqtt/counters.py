"""Add messages up in memory between two commits: by topic, then by project and device.

Belongs to the reading thread. What `drain` returns is a copy, which another thread may write.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from collectors.mqtt.codec import Counters, Malformed
from collectors.mqtt.topics import Topics, sample
from metering.ledger.mqtt import MAX_SAMPLES, MalformedTopics, MqttUsage

# Index of each pair (messages, payload bytes) in Counters; QoS 2 counts in the second one.
QOS0, QOS1 = 0, 2
ZERO = (0, 0, 0, 0)
NO_DEVICE = b""  # no level of a topic is empty

MAX_TOPICS = 50_000  # cached; about 10 MB
MAX_CACHED_LENGTH = 400  # bytes of a cached topic; 64 KB topics would make the cache gigabytes
MAX_PROJECTS = 40_000  # counted between two commits; about 20 MB
MAX_DEVICES = 100_000  # counters of devices held between two commits; about 20 MB

ProjectKey = tuple[int, int]  # organization id, project id


class ProjectCounters(NamedTuple):
    """The eight counters of a project, by direction, one of its topics as a sample, and its devices.

    A device has counters in each direction in which it was seen. Under NO_DEVICE stands in the first one how
    many messages of each device may be missing, where there were too many devices to hold.
    """

    topic: str
    inbound: Counters
    outbound: Counters
    inbound_devices: dict[bytes, Counters]
    outbound_devices: dict[bytes, Counters]

    def usage(self) -> MqttUsage:
        """Return both qualities of service together, as the ledger takes them."""
        (m0, b0, m1, b1), (n0, c0, n1, c1) = self.inbound, self.outbound
        return MqttUsage(m0 + m1, n0 + n1, b0 + b1, c0 + c1, self.topic)

    @property
    def messages(self) -> int:
        """Return all messages, in both directions."""
        return self.inbound[QOS0] + self.inbound[QOS1] + self.outbound[QOS0] + self.outbound[QOS1]

    def take(self) -> "ProjectCounters":
        """Return a copy, which has the devices, and start again at zero."""
        topic, inbound, outbound, *devices = self
        copy = ProjectCounters(topic, inbound[:], outbound[:], *map(dict, devices))
        inbound[:] = outbound[:] = ZERO
        for cells in devices:
            cells.clear()
        return copy

    def qos0(self) -> "ProjectCounters":
        """Return the part that the broker will not send again."""
        topic, inbound, outbound, *devices = self
        first = [{name: [*cell[:QOS1], 0, 0] for name, cell in cells.items()} for cells in devices]
        return ProjectCounters(topic, [*inbound[:QOS1], 0, 0], [*outbound[:QOS1], 0, 0], *first)

    def discard_qos1(self) -> None:
        """Drop counts at QoS 1."""
        cells = (*self.inbound_devices.values(), *self.outbound_devices.values())
        for cell in (self.inbound, self.outbound, *cells):
            cell[QOS1:] = (0, 0)


class _Entry(NamedTuple):
    """What the messages of a topic are added to; `devices` None where no device is followed."""

    total: Counters
    devices: dict[bytes, Counters] | None
    device: bytes


@dataclass(frozen=True)
class Totals:
    """Counts drained from memory, to be written in one transaction."""

    projects: dict[ProjectKey, ProjectCounters] = field(default_factory=dict)
    malformed: Counters = field(default_factory=lambda: [0, 0, 0, 0])
    samples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.projects) or any(self.malformed)

    @property
    def messages(self) -> int:
        """Return all messages, attributed or not."""
        malformed = self.malformed[QOS0] + self.malformed[QOS1]
        return sum(counters.messages for counters in self.projects.values()) + malformed

    def qos0(self) -> "Totals":
        """Return the part that the broker will not send again."""
        projects = {
            key: counters.qos0()
            for key, counters in self.projects.items()
            if counters.inbound[QOS0] or counters.outbound[QOS0]
        }
        return Totals(projects, [*self.malformed[:QOS1], 0, 0], self.samples)

    def usage(self) -> dict[ProjectKey, MqttUsage]:
        """Return the usage by project, as the ledger takes it."""
        return {key: counters.usage() for key, counters in self.projects.items()}

    def malformed_topics(self) -> MalformedTopics | None:
        """Return the messages whose topic names no project at all."""
        messages = self.malformed[QOS0] + self.malformed[QOS1]
        return MalformedTopics(messages, self.samples) if messages else None


class TopicCounters(dict[bytes, Counters]):
    """Map a topic to its counters since the last time that they were added up.

    Of a topic that repeats only the first message after an adding-up comes here; what the topic means is
    cached. `top_devices`: how many devices of a project are worth following, 0 for none.
    """

    def __init__(self, topics: Topics, top_devices: int = 0) -> None:
        super().__init__()
        self._topics = topics
        self._top_devices = top_devices
        self._entries: dict[bytes, _Entry] = {}
        self._long: list[tuple[_Entry, Counters]] = []  # of topics that are too long to cache
        self._projects: dict[ProjectKey, ProjectCounters] = {}
        self._devices = 0  # counters of devices that are held
        self._malformed: Counters = [0, 0, 0, 0]
        self._samples: list[str] = []

    def __missing__(self, topic: bytes) -> Counters:
        entry = self._entries.get(topic) or self._parsed(topic)
        if entry is None:
            return self._malformed
        counters: Counters = [0, 0, 0, 0]
        if len(topic) > MAX_CACHED_LENGTH:
            if len(self._long) >= MAX_TOPICS:
                self._add_up()
            self._long.append((entry, counters))
            return counters
        if len(self._entries) >= MAX_TOPICS and topic not in self._entries:
            self._add_up()
            self._entries.clear()
        self._entries[topic] = entry
        self[topic] = counters
        return counters

    def _parsed(self, topic: bytes) -> _Entry | None:
        if not topic:
            raise Malformed("an empty topic; topic aliases were not offered")
        address = self._topics.parse(topic)
        if address is None:
            if len(self._samples) < MAX_SAMPLES:
                self._samples.append(sample(topic))
            return None
        organization, project, outbound, device = address
        counters = self._projects.get((organization, project))
        if counters is None:
            counters = ProjectCounters(sample(topic), [0, 0, 0, 0], [0, 0, 0, 0], {}, {})
            self._projects[organization, project] = counters
        _, *totals, inbound_devices, outbound_devices = counters
        devices = outbound_devices if outbound else inbound_devices
        return _Entry(totals[outbound], devices if self._top_devices else None, device)

    @property
    def full(self) -> bool:
        """Return whether counts must be drained before new projects come."""
        return len(self._projects) >= MAX_PROJECTS

    def drain(self) -> Totals:
        """Return everything counted since the last call, and start again at zero."""
        self._add_up()
        projects = {key: counters.take() for key, counters in self._projects.items() if counters.messages}
        totals = Totals(projects, self._malformed[:], self._samples)
        self._malformed[:] = ZERO
        self._samples = []
        self._devices = 0
        if self.full:  # projects still in use come back with their next message
            self._entries.clear()
            self._projects.clear()
        return totals

    def discard_qos1(self) -> None:
        """Drop counts at QoS 1: the broker is about to send those messages again."""
        self._add_up()
        for counters in self._projects.values():
            counters.discard_qos1()
        self._malformed[QOS1:] = (0, 0)

    def _add_up(self) -> None:
        """Add the counters of the topics to those of their projects and devices."""
        entries = self._entries
        cells = [(entries[topic], cell) for topic, cell in self.items()]
        self.clear()
        for (total, devices, name), cell in (*cells, *self._long):
            _add_to(total, cell)
            if devices is None:
                continue
            device = devices.get(name)
            if device is None:
                devices[name] = cell
                self._devices += 1
            else:
                _add_to(device, cell)
        self._long.clear()
        if self._devices > MAX_DEVICES:
            self._drop_devices()

    def _drop_devices(self) -> None:
        for counters in self._projects.values():
            for devices in (counters.inbound_devices, counters.outbound_devices):
                _keep_busiest(devices, self._top_devices)
        self._devices = 0


def _keep_busiest(devices: dict[bytes, Counters], most: int) -> None:
    """Drop all but `most` devices, and note how many messages of each may be missing now."""
    missing = devices.pop(NO_DEVICE, [0, 0, 0, 0])
    if len(devices) > most:
        ranked = nlargest(most + 1, devices.items(), key=lambda item: item[1][QOS0] + item[1][QOS1])
        _, largest_dropped = ranked.pop()
        devices.clear()
        devices.update(ranked)
        missing[QOS0] += largest_dropped[QOS0] + largest_dropped[QOS1]
    if missing[QOS0]:
        devices[NO_DEVICE] = missing


def merge(several: Iterable[Totals]) -> Totals:
    """Add several totals into new ones; the inputs stay as they are."""
    merged = Totals()
    for totals in several:
        for key, counters in totals.projects.items():
            earlier = merged.projects.get(key)
            merged.projects[key] = _add(earlier, counters) if earlier else counters
        merged.malformed[:] = _sums(merged.malformed, totals.malformed)
        merged.samples.extend(totals.samples[: MAX_SAMPLES - len(merged.samples)])
    return merged


def _add(one: ProjectCounters, other: ProjectCounters) -> ProjectCounters:
    return ProjectCounters(
        one.topic,
        _sums(one.inbound, other.inbound),
        _sums(one.outbound, other.outbound),
        _united(one.inbound_devices, other.inbound_devices),
        _united(one.outbound_devices, other.outbound_devices),
    )


def _united(one: dict[bytes, Counters], other: dict[bytes, Counters]) -> dict[bytes, Counters]:
    common = {name: _sums(one[name], other[name]) for name in one.keys() & other.keys()}
    return one | other | common


def _add_to(total: Counters, cell: Counters) -> None:
    total[0] += cell[0]
    total[1] += cell[1]
    total[2] += cell[2]
    total[3] += cell[3]


def _sums(one: Counters, other: Counters) -> Counters:
    return [first + second for first, second in zip(one, other, strict=True)]
