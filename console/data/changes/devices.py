"""Contributions of one project's devices to its change: lower bounds, and what the project has besides."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import Connection

from console.data.changes.contributions import Comparison, Contribution, Range
from metering.ledger import devices
from metering.ledger.mqtt import MQTT_COUNTERS

OTHER: Final = ""  # the key of all other devices; no device has an empty name
Figures = dict[str, int]  # of devices, by name


def with_devices(
    connection: Connection, comparison: Comparison, project: int, ranges: tuple[Range, Range]
) -> Comparison:
    """Return the comparison of a single project's MQTT counters with the contributions of its devices.

    `ranges` are the period before and the one after, UTC days, both included.
    """
    meters = [part.key for part in comparison.by["meter"] if part.key in MQTT_COUNTERS]
    before, after = (_figures(connection, project, days, meters) for days in ranges)
    by = {**comparison.by, "device": contributions(before, after, comparison.before, comparison.after)}
    return replace(comparison, by=by)


def _figures(connection: Connection, project: int, days: Range, meters: Sequence[str]) -> Figures:
    usages = devices.of_days(connection, project, *days).devices
    sums = {one.device: sum(getattr(one, meter) for meter in meters) for one in usages}
    return {device: figure for device, figure in sums.items() if figure}


def contributions(before: Figures, after: Figures, whole_before: int, whole_after: int) -> list[Contribution]:
    """Return a contribution for each device and one for all others, the largest first. Pure.

    The others are what the project has besides, so that the sum is exactly the project's change. A device
    is new, or gone, only where nothing is left in which it could have been.
    """
    rest_before = whole_before - sum(before.values())
    rest_after = whole_after - sum(after.values())
    parts = [
        _part(device, before, after, rest_before, rest_after)
        for device in sorted(before.keys() | after.keys())
    ]
    if rest_before or rest_after:
        parts.append(Contribution(OTHER, rest_before, rest_after, is_new=False, is_gone=False))
    return sorted(parts, key=lambda part: (-abs(part.change), part.key))


def _part(device: str, before: Figures, after: Figures, rest_before: int, rest_after: int) -> Contribution:
    return Contribution(
        device,
        before.get(device, 0),
        after.get(device, 0),
        is_new=device not in before and not rest_before,
        is_gone=device not in after and not rest_after,
    )


def takes(meters: Sequence[str], filters: Any) -> str:
    """Return why devices cannot be told for this question, in a sentence; empty if they can."""
    if len(filters.projects) != 1 or filters.organizations or filters.tiers:
        return "Devices are known by project: filter by one project alone to see its devices."
    if any(meter not in MQTT_COUNTERS for meter in meters):
        return "Of devices, MQTT messages and their payload are known: choose these alone."
    return ""
