"""The busiest devices of each project and day, in bounded memory.

Space-saving (Metwally, Agrawal, El Abbadi: "Efficient Computation of Frequent and Top-k Elements in Data
Streams", ICDT 2005), fed with the sums of whole batches. Of each project and day at most `limit` devices are
kept between two batches. A device that is followed has counted `messages` since then and may have missed
`error` before. The largest `messages + error` that was ever dropped is the `floor`: no device that is not
followed has more, so a device that comes (back) starts with that error. With at most `limit` devices nothing
is dropped, and every figure is exact.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from heapq import nlargest
from operator import itemgetter

from collectors.mqtt.codec import Counters
from collectors.mqtt.totals import NO_DEVICE, QOS0, QOS1, ProjectCounters, ProjectKey

Cells = tuple[Counters | None, Counters | None]  # of a device: inbound, outbound
_Key = tuple[date, ProjectKey]


@dataclass(slots=True)
class _Device:
    """A device that is followed: messages since then, how many may be missing, figures not written yet."""

    messages: int
    error: int
    unwritten: list[int]
    changed: bool = False


@dataclass(slots=True)
class _Project:
    """The devices of a project's day that are followed, and the most that any other device may have."""

    devices: dict[bytes, _Device] = field(default_factory=dict)
    floor: int = 0


@dataclass(frozen=True)
class DeviceFigures:
    """The amounts to add to a device's row; `error` replaces the former one.

    `figures`: messages in and out and their bytes, since the last time.
    """

    organization_id: int
    project_id: int
    date: date
    device: str
    figures: list[int]
    error: int


class BusiestDevices:
    """Belongs to the writing thread. Days are UTC; `limit` 0 follows nothing."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._projects: dict[_Key, _Project] = {}
        self._changed: set[_Key] = set()
        self._waiting: list[_Key] = []  # to be taken, the last one first

    def add(self, counters_by_project: Mapping[ProjectKey, ProjectCounters], day: date) -> None:
        """Add the messages of a committed batch."""
        if not self._limit:
            return
        for owner, counters in counters_by_project.items():
            key = (day, owner)
            project = self._projects.get(key)
            if project is None:
                project = self._projects[key] = _Project()
            self._changed.add(key)
            _add(project, counters, self._limit)

    def begin(self) -> bool:
        """Begin to take the figures that changed; return whether any did."""
        self._waiting, self._changed = [*self._waiting, *self._changed], set()
        return bool(self._waiting)

    def take(self, most: int) -> list[DeviceFigures]:
        """Return and forget figures of whole projects: at least `most`, or all that remain.

        Whoever writes them tries once: what is lost on the way counts for no device.
        """
        figures: list[DeviceFigures] = []
        while self._waiting and len(figures) < most:
            key = self._waiting.pop()
            figures += _unwritten(key, self._projects[key])
        return figures

    def forget_before(self, day: date) -> None:
        """Forget the days before `day` that are taken."""
        untaken = self._changed | set(self._waiting)
        self._projects = {
            key: project for key, project in self._projects.items() if key[0] >= day or key in untaken
        }


def _add(project: _Project, counters: ProjectCounters, limit: int) -> None:
    """Add a batch: first to the devices that are followed, then follow the busiest of the others."""
    missing, new = 0, []
    for name, cells in _by_device(counters):
        messages = sum(cell[QOS0] + cell[QOS1] for cell in cells if cell)
        device = project.devices.get(name)
        if name == NO_DEVICE:
            missing = messages
        elif device is not None:
            device.messages += messages
            _count(device, cells)
        elif messages:
            new.append((messages, name, cells))
    _raise_errors(project, missing)
    _follow(project, new, limit)


def _by_device(counters: ProjectCounters) -> Iterator[tuple[bytes, Cells]]:
    inbound, outbound = counters.inbound_devices, counters.outbound_devices
    for name, cell in inbound.items():
        yield name, (cell, outbound.get(name))
    for name, cell in outbound.items():
        if name not in inbound:
            yield name, (None, cell)


def _raise_errors(project: _Project, missing: int) -> None:
    """Note that `missing` messages of any device may not have come here."""
    if missing:
        project.floor += missing
        for device in project.devices.values():
            device.error += missing
            device.changed = True


def _follow(project: _Project, new: list[tuple[int, bytes, Cells]], limit: int) -> None:
    dropped = 0
    if len(new) > limit:
        new = nlargest(limit + 1, new, key=itemgetter(0))
        dropped = project.floor + new.pop()[0]
    for messages, name, cells in new:
        device = project.devices[name] = _Device(messages, project.floor, [0, 0, 0, 0])
        _count(device, cells)
    if len(project.devices) > limit:
        ranked = sorted(project.devices.items(), key=_upper_bound, reverse=True)
        dropped = max(dropped, _upper_bound(ranked[limit]))
        project.devices = dict(ranked[:limit])
    project.floor = max(project.floor, dropped)


def _unwritten(key: _Key, project: _Project) -> Iterator[DeviceFigures]:
    day, owner = key
    for name, device in project.devices.items():
        if device.changed:
            yield DeviceFigures(*owner, day, name.decode(errors="ignore"), device.unwritten, device.error)
            device.unwritten, device.changed = [0, 0, 0, 0], False


def _count(device: _Device, cells: Cells) -> None:
    device.changed = True
    for direction, cell in enumerate(cells):
        if cell:
            device.unwritten[direction] += cell[QOS0] + cell[QOS1]
            device.unwritten[direction + 2] += cell[QOS0 + 1] + cell[QOS1 + 1]


def _upper_bound(item: tuple[bytes, _Device]) -> int:
    return item[1].messages + item[1].error
