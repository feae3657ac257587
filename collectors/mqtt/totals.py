"""The counts of a batch by project, between memory and the ledger."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from collectors.mqtt.codec import Counters
from metering.ledger.mqtt import MAX_SAMPLES, MalformedTopics, MqttUsage

# Index of each pair (messages, payload bytes) in Counters; QoS 2 counts in the second one.
QOS0, QOS1 = 0, 2
ZERO = (0, 0, 0, 0)
NO_DEVICE = b""  # no level of a topic is empty

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


def merge(batches: Iterable[Totals]) -> Totals:
    """Add several totals into new ones; the inputs stay as they are."""
    merged = Totals()
    for totals in batches:
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


def _sums(one: Counters, other: Counters) -> Counters:
    return [first + second for first, second in zip(one, other, strict=True)]
