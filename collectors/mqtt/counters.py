"""Messages folded in memory between two commits, and the bounded cache from topic to counter.

Belongs to the reading thread. What `take` returns is nobody else's and is written by another one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from collectors.mqtt.codec import Counters, Malformed
from collectors.mqtt.topics import Address, Topics, sample
from metering.ledger.mqtt import MAX_SAMPLES, MqttUsage

QOS0, QOS1 = 0, 2  # where a cell's pair starts

MOST_TOPICS = 50_000  # cached; about 10 MB
LONGEST_CACHED = 400  # bytes of a cached topic; 64 KB topics would make the cache gigabytes
MOST_PROJECTS = 40_000  # (project, direction) counted between two commits; about 20 MB


@dataclass(frozen=True)
class Totals:
    """Counts taken out of memory, to be written in one transaction."""

    rows: list[tuple[Address, str, Counters]] = field(default_factory=list)
    malformed: Counters = field(default_factory=lambda: [0, 0, 0, 0])
    samples: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.rows) or any(self.malformed)

    @property
    def messages(self) -> int:
        return sum(c[0] + c[2] for _, _, c in self.rows) + self.malformed[0] + self.malformed[2]

    def qos0(self) -> "Totals":
        """Without what the broker will send again."""
        rows = [(address, topic, [*cell[:2], 0, 0]) for address, topic, cell in self.rows if cell[0]]
        return Totals(rows, [*self.malformed[:2], 0, 0], self.samples)

    def usage(self) -> dict[tuple[int, int], MqttUsage]:
        """Both directions and qualities of service together, as the ledger takes them."""
        found: dict[tuple[int, int], MqttUsage] = {}
        for (organization, project, outbound), topic, (m0, b0, m1, b1) in self.rows:
            key, messages, size = (organization, project), m0 + m1, b0 + b1
            other = found.get(key)
            if outbound:
                used = other or MqttUsage(0, 0, 0, 0, topic)
                found[key] = MqttUsage(used[0], messages, used[2], size, topic)
            else:
                used = other or MqttUsage(0, 0, 0, 0, topic)
                found[key] = MqttUsage(messages, used[1], size, used[3], topic)
        return found

    def unattributed(self) -> Mapping[str, tuple[int, list[str]]]:
        """Messages whose topic names no project at all."""
        messages = self.malformed[QOS0] + self.malformed[QOS1]
        return {"malformed_topic": (messages, self.samples)} if messages else {}


class Counts(dict[bytes, Counters]):
    """From a topic to the counter it shares with the other topics of its project and direction."""

    def __init__(self, topics: Topics) -> None:
        super().__init__()
        self._topics = topics
        self._cells: dict[Address, tuple[str, Counters]] = {}
        self._malformed: Counters = [0, 0, 0, 0]
        self._samples: list[str] = []

    def __missing__(self, topic: bytes) -> Counters:
        if not topic:
            raise Malformed("an empty topic; topic aliases were not offered")
        address = self._topics.read(topic)
        if address is None:
            if len(self._samples) < MAX_SAMPLES:
                self._samples.append(sample(topic))
            return self._malformed
        known = self._cells.get(address)
        if known is None:
            known = self._cells[address] = (sample(topic), [0, 0, 0, 0])
        if len(topic) <= LONGEST_CACHED:
            if len(self) >= MOST_TOPICS:
                self.clear()
            self[topic] = known[1]
        return known[1]

    @property
    def crowded(self) -> bool:
        """True when no more may be counted before some of it is taken out."""
        return len(self._cells) >= MOST_PROJECTS

    def take(self) -> Totals:
        """Everything counted since the last take, which starts again at zero."""
        rows = [(address, topic, cell[:]) for address, topic, cell in self._counted()]
        tally = Totals(rows, self._malformed[:], self._samples)
        self._malformed[:] = (0, 0, 0, 0)
        self._samples = []
        if self.crowded:  # those that are still in use come back with their next message
            self.clear()
            self._cells.clear()
        else:
            for _, _, cell in self._counted():
                cell[:] = (0, 0, 0, 0)
        return tally

    def forget_qos1(self) -> None:
        """Drop what was counted at QoS 1: the broker is about to send it again."""
        for cell in (*(cell for _, cell in self._cells.values()), self._malformed):
            cell[QOS1:] = (0, 0)

    def _counted(self) -> Iterable[tuple[Address, str, Counters]]:
        return (
            (address, topic, cell)
            for address, (topic, cell) in self._cells.items()
            if cell[QOS0] or cell[QOS1]
        )


def merge(tallies: Iterable[Totals]) -> Totals:
    """Several as one; rows of the same address stay apart."""
    given = list(tallies)
    rows = [row for tally in given for row in tally.rows]
    malformed = [sum(column) for column in zip([0] * 4, *(t.malformed for t in given), strict=True)]
    return Totals(rows, malformed, [text for tally in given for text in tally.samples][:MAX_SAMPLES])
