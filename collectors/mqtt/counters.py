"""Add messages up in memory between two commits: by topic, then by project and device.

Belongs to the reading thread. `drain` returns a copy, which another thread may write.
"""

from heapq import nlargest
from typing import NamedTuple

from collectors.mqtt.codec import Counters, Malformed
from collectors.mqtt.topics import Topics, sample
from collectors.mqtt.totals import NO_DEVICE, QOS0, QOS1, ZERO, ProjectCounters, ProjectKey, Totals
from metering.ledger.mqtt import MAX_SAMPLES

MAX_TOPICS = 50_000  # cached; about 10 MB
MAX_CACHED_LENGTH = 400  # bytes of a cached topic; 64 KB topics would make the cache gigabytes
MAX_PROJECTS = 40_000  # counted between two commits; about 20 MB
MAX_DEVICES = 100_000  # counters of devices held between two commits; about 20 MB


class _Entry(NamedTuple):
    """The counters that a topic's messages are added to; `devices` None: no device is followed."""

    total: Counters
    devices: dict[bytes, Counters] | None
    device: bytes


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
        """Return the counts since the last call, and start again at zero."""
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


def _add_to(total: Counters, cell: Counters) -> None:
    total[0] += cell[0]
    total[1] += cell[1]
    total[2] += cell[2]
    total[3] += cell[3]
