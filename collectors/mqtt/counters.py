"""Fold messages in memory between two commits, and cache the counters of each topic.

Belongs to the reading thread. What `drain` returns is a copy, which another thread may write.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.mqtt.codec import Counters, Malformed
from collectors.mqtt.topics import Topics, sample
from metering.ledger.mqtt import MAX_SAMPLES, MalformedTopics, MqttUsage

# Index of each pair (messages, payload bytes) in Counters; QoS 2 counts in the second one.
QOS0, QOS1 = 0, 2

MAX_TOPICS = 50_000  # cached; about 10 MB
MAX_CACHED_LENGTH = 400  # bytes of a cached topic; 64 KB topics would make the cache gigabytes
MAX_PROJECTS = 40_000  # counted between two commits; about 20 MB

ProjectKey = tuple[int, int]  # organization id, project id


class ProjectCounters(NamedTuple):
    """The eight counters of a project, by direction, and one of its topics as a sample."""

    topic: str
    inbound: Counters
    outbound: Counters

    def usage(self) -> MqttUsage:
        """Return both qualities of service together, as the ledger takes them."""
        (m0, b0, m1, b1), (n0, c0, n1, c1) = self.inbound, self.outbound
        return MqttUsage(m0 + m1, n0 + n1, b0 + b1, c0 + c1, self.topic)

    @property
    def messages(self) -> int:
        """Return all messages, in both directions."""
        return self.inbound[QOS0] + self.inbound[QOS1] + self.outbound[QOS0] + self.outbound[QOS1]


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
            key: ProjectCounters(topic, [*inbound[:QOS1], 0, 0], [*outbound[:QOS1], 0, 0])
            for key, (topic, inbound, outbound) in self.projects.items()
            if inbound[QOS0] or outbound[QOS0]
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
    """Map a topic to the counters that all topics of its project and direction share."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics
        self._projects: dict[ProjectKey, ProjectCounters] = {}
        self._malformed: Counters = [0, 0, 0, 0]
        self._samples: list[str] = []

    def __missing__(self, topic: bytes) -> Counters:
        if not topic:
            raise Malformed("an empty topic; topic aliases were not offered")
        address = self._topics.parse(topic)
        if address is None:
            if len(self._samples) < MAX_SAMPLES:
                self._samples.append(sample(topic))
            return self._malformed
        organization, project, outbound = address
        counters = self._projects.get((organization, project))
        if counters is None:
            counters = ProjectCounters(sample(topic), [0, 0, 0, 0], [0, 0, 0, 0])
            self._projects[organization, project] = counters
        direction = counters.outbound if outbound else counters.inbound
        if len(topic) <= MAX_CACHED_LENGTH:
            if len(self) >= MAX_TOPICS:
                self.clear()
            self[topic] = direction
        return direction

    @property
    def full(self) -> bool:
        """True when counts must be drained before more projects are counted."""
        return len(self._projects) >= MAX_PROJECTS

    def drain(self) -> Totals:
        """Return everything counted since the last call, and start again at zero."""
        projects = {
            key: ProjectCounters(topic, inbound[:], outbound[:])
            for key, (topic, inbound, outbound) in self._counted()
        }
        totals = Totals(projects, self._malformed[:], self._samples)
        self._malformed[:] = (0, 0, 0, 0)
        self._samples = []
        if self.full:  # projects still in use come back with their next message
            self.clear()
            self._projects.clear()
        else:
            for _, (_, inbound, outbound) in self._counted():
                inbound[:] = outbound[:] = (0, 0, 0, 0)
        return totals

    def discard_qos1(self) -> None:
        """Drop counts at QoS 1: the broker is about to send those messages again."""
        for counters in self._projects.values():
            counters.inbound[QOS1:] = counters.outbound[QOS1:] = (0, 0)
        self._malformed[QOS1:] = (0, 0)

    def _counted(self) -> Iterable[tuple[ProjectKey, ProjectCounters]]:
        return (item for item in self._projects.items() if item[1].messages)


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
    return ProjectCounters(one.topic, _sums(one.inbound, other.inbound), _sums(one.outbound, other.outbound))


def _sums(one: Counters, other: Counters) -> Counters:
    return [left + right for left, right in zip(one, other, strict=True)]
