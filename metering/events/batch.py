"""A batch of events: read, judged, stored and counted in the transaction of the caller."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.periods import Day, Hour
from metering.events import reported_project
from metering.events.event import Event, EventRefused, id_of, parse, unknown_project
from metering.events.reported_project import ReportedProject, Sender
from metering.ledger import own_usage, usage_events
from metering.ledger.late_rows import LateRows
from metering.ledger.own_usage import Usage
from metering.ledger.usage_events import EventKey
from metering.months import late_rows
from metering.months.late_rows import Cause

MOST_LATE = 10**15  # of a quantity that is posted as an adjustment: several have to add up


@dataclass
class Receipt:
    """What became of the events of a batch, in the order in which they were sent."""

    accepted: int = 0
    duplicates: int = 0
    refused: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Entry:
    """An event of the batch and what was decided; `late`: its day is sealed."""

    written: Any
    event: Event | None = None
    key: EventKey | None = None
    time: datetime | None = None
    late: bool = False
    refusal: EventRefused | None = None
    duplicate: bool = False


class Batch:
    """The events of one request; the methods are called in the order in which they stand here."""

    def __init__(
        self,
        connection: Connection,
        own: Mapping[str, OwnMeter],
        sender: Sender,
        at: datetime,
        tolerance: float,
    ) -> None:
        self.connection, self.own, self.sender, self.at = connection, own, sender, at
        self.tolerance = timedelta(seconds=min(tolerance, 10**9))
        self.largest = frozenset(name for name, meter in own.items() if meter.aggregation == "max")
        self.entries: list[_Entry] = []
        self.projects: dict[int, ReportedProject] = {}

    def read(self, written: Sequence[Any]) -> None:
        """Parse the events; a malformed one is refused."""
        for one in written:
            entry = _Entry(one)
            try:
                event = parse(one, self.own)
                entry.event, entry.time = event, event.time or self.at
                entry.key = EventKey.of(self.sender.organization_id, event.source, event.id)
            except EventRefused as refusal:
                entry.refusal = refusal
            self.entries.append(entry)

    def judge(self, adjust_late: bool) -> None:
        """Lock the projects, and refuse the events that they do not take."""
        ids = {entry.event.project_id for entry in self.entries if entry.event is not None}
        projects = self.projects = reported_project.lock(self.connection, list(ids), self.sender, self.at)
        for entry in self.entries:
            if entry.event is not None and entry.time is not None:
                try:
                    self._judge(
                        entry, entry.event, entry.time, projects.get(entry.event.project_id), adjust_late
                    )
                except EventRefused as refusal:
                    entry.refusal = refusal

    def _judge(
        self, entry: _Entry, event: Event, time: datetime, project: ReportedProject | None, adjust_late: bool
    ) -> None:
        if project is None:
            raise unknown_project()
        if time > self.at + self.tolerance:
            raise EventRefused(
                "future", f"time is after {self.at:%Y-%m-%dT%H:%M:%SZ}, when the event was received"
            )
        hour = Hour.of(time).start
        project.refuse(hour, time, self.sender)
        entry.late = hour < project.standing.open_from
        if entry.late and not adjust_late:
            raise EventRefused(
                "too_late", f"{time:%Y-%m-%d} is sealed; ?late=adjust posts it as an adjustment"
            )
        if entry.late and event.quantity > MOST_LATE:
            raise EventRefused("quantity_too_large", f"an adjustment takes at most {MOST_LATE:,}")

    def keep(self) -> None:
        """Store the keys of the events that can be counted; mark the duplicates among the events."""
        stateful = [
            entry.key for entry in self.entries if entry.refusal is not None and entry.key is not None
        ]
        before = usage_events.duplicates(self.connection, stateful)
        first: dict[EventKey, _Entry] = {}
        for entry in self.entries:
            if entry.key is not None and entry.refusal is not None:
                entry.duplicate = entry.key in before or entry.key in first
            elif entry.key is not None:
                entry.duplicate = first.setdefault(entry.key, entry) is not entry
        projects_of = [entry.event.project_id for entry in first.values() if entry.event is not None]
        new = usage_events.keep(self.connection, list(first), projects_of, self.at)
        for key, entry in first.items():
            entry.duplicate = key not in new

    def count(self) -> None:
        """Add the accepted events to the ledger, late ones as adjustments."""
        usage, late = [], []
        for entry in self._open():
            event, time = entry.event, entry.time
            if event is None or time is None:
                continue
            if not self.projects[event.project_id].standing.fits(event.meter, event.quantity, self.largest):
                self._take_back(entry, "total_too_large", f"the total of {event.meter} would exceed 2^63 - 1")
            elif entry.late:
                late.append((Day.of(time), entry))
            else:
                usage.append(Usage(event.project_id, Hour.of(time).start, event.meter, event.quantity))
        own_usage.add(self.connection, usage, self.largest, self.at)
        for day in sorted({day for day, _ in late}):
            self._post(day, [entry for other, entry in late if other == day])

    def _post(self, day: Day, entries: list[_Entry]) -> None:
        sums = self._sum_events(entries)
        rows = [LateRows(*key, quantity) for key, quantity in sorted(sums.items()) if quantity]
        cause = Cause("late_usage", self.sender.actor, "events received after", "")
        posted_keys = late_rows.post(self.connection, day, rows, self.at, cause)
        for entry in entries:
            event = entry.event
            if event is not None and event.quantity and (event.project_id, event.meter) not in posted_keys:
                self._take_back(
                    entry, "too_late", f"{day} is history, or the project is closed: no bill takes it"
                )

    def _sum_events(self, entries: list[_Entry]) -> dict[tuple[int, str], int]:
        """Return the entries' quantities by project and meter, each meter in its own aggregation."""
        sums: dict[tuple[int, str], int] = {}
        for event in [entry.event for entry in entries if entry.event is not None]:
            key, earlier = (event.project_id, event.meter), sums.get((event.project_id, event.meter), 0)
            largest = event.meter in self.largest
            sums[key] = max(earlier, event.quantity) if largest else earlier + event.quantity
        return sums

    def _take_back(self, entry: _Entry, reason: str, detail: str) -> None:
        """Refuse an event that was stored already, and its repetitions in the batch."""
        if entry.key is not None:
            usage_events.take_back(self.connection, [entry.key])
        for other in self.entries:
            if other.key == entry.key and (other is entry or other.duplicate):
                other.duplicate, other.refusal = False, EventRefused(reason, detail)

    def _open(self) -> list[_Entry]:
        return [entry for entry in self.entries if entry.refusal is None and not entry.duplicate]

    def receipt(self) -> Receipt:
        """Return the receipt of the batch."""
        receipt = Receipt()
        for entry in self.entries:
            if entry.duplicate:
                receipt.duplicates += 1
            elif entry.refusal is None:
                receipt.accepted += 1
            else:
                receipt.refused.append(_describe_refusal(entry.written, entry.refusal))
        return receipt


def _describe_refusal(written: Any, refusal: EventRefused) -> dict[str, Any]:
    return {"id": id_of(written), "reason": refusal.reason, "detail": refusal.detail}
