"""Contributions to a change: by each dimension they sum exactly to what a plain loop finds."""

from datetime import date, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from console.data.changes.amounts import Presence, Used
from console.data.changes.contributions import DIMENSIONS, compare
from console.data.changes.devices import OTHER, contributions
from console.data.explore.question import Filters

METERS = ("mqtt_inbound", "mqtt_outbound")
BEFORE, AFTER = (date(2026, 11, 1), date(2026, 11, 7)), (date(2026, 11, 8), date(2026, 11, 14))
ALWAYS = Presence("a", date(2026, 1, 1), date.max)
NOT_YET = Presence("b", date(2026, 11, 9), date.max)
DEACTIVATED = Presence("c", date(2026, 1, 1), date(2026, 11, 8))


@some.composite
def used(draw: some.DrawFn) -> Used:
    known_days = tuple(draw(some.integers(0, 7)) for _ in METERS)
    values = tuple(draw(some.integers(0, 2**40)) if days else None for days in known_days)
    tier = draw(some.sampled_from(("free", "pro")))
    return Used(draw(some.integers(1, 5)), draw(some.integers(7, 9)), tier, values, known_days)


PERIODS = some.lists(used(), max_size=8)
PROJECTS = some.dictionaries(some.integers(1, 5), some.sampled_from((ALWAYS, NOT_YET, DEACTIVATED)))
FILTERS = some.builds(
    Filters,
    tiers=some.sampled_from(((), ("pro",))),
    organizations=some.sampled_from(((), (7,), (7, 8))),
    projects=some.sampled_from(((), (1, 2))),
)


def plain(
    before: list[Used], after: list[Used], present: dict[int, Presence], filters: Filters
) -> tuple[int, set[tuple[int, str]]]:
    """The change, and the meters of projects that are unknown in one period only, row by row."""
    change, incomparable = 0, set()
    for number, meter in enumerate(METERS):
        for project in {row.project for row in before + after}:
            blind = []
            for rows, (first, last) in ((before, BEFORE), (after, AFTER)):
                own = [row for row in rows if row.project == project]
                there = present.get(project)
                days = [first + timedelta(days=n) for n in range(7)]
                expected = there and any(there.since <= day < there.until for day in days)
                blind.append(bool(expected) and not any(row.known_days[number] for row in own))
                assert days[-1] == last
            sides = [
                [row for row in rows if row.project == project and matches(row, filters)]
                for rows in (before, after)
            ]
            if any(blind):
                has_known_day = any(row.known_days[number] for rows in (before, after) for row in rows
                            if row.project == project)  # fmt: skip
                if any(sides) and has_known_day:
                    incomparable.add((project, meter))
            else:
                change += sum(row.values[number] or 0 for row in sides[1])
                change -= sum(row.values[number] or 0 for row in sides[0])
    return change, incomparable


def matches(row: Used, filters: Filters) -> bool:
    return (
        row.organization in (filters.organizations or (row.organization,))
        and row.tier in (filters.tiers or (row.tier,))
        and row.project in (filters.projects or (row.project,))
    )


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a busy machine
@given(PERIODS, PERIODS, PROJECTS, FILTERS)
def test_contributions_by_every_dimension_sum_to_the_change(
    before: list[Used], after: list[Used], present: dict[int, Presence], filters: Filters
) -> None:
    comparison = compare((before, after), present, (BEFORE, AFTER), METERS, filters)
    change, incomparable = plain(before, after, present, filters)
    assert comparison.change == change
    assert {(one.project, one.meter) for one in comparison.incomparable} == incomparable
    for dimension in DIMENSIONS:
        parts = comparison.by[dimension]
        assert sum(part.change for part in parts) == change, dimension
        assert sum(part.before for part in parts) == comparison.before
        sizes = [abs(part.change) for part in parts]
        assert sizes == sorted(sizes, reverse=True)


def test_an_unknown_period_is_no_zero_and_a_new_project_is_new() -> None:
    def row(project: int, *values: int | None) -> Used:
        return Used(project, 7, "pro", values, tuple(7 if value is not None else 0 for value in values))

    before = [row(1, 100), row(2, 50), row(4, 10)]
    after = [row(1, None), row(2, 80), row(3, 20)]
    present = {1: ALWAYS, 2: ALWAYS, 3: NOT_YET, 4: DEACTIVATED}
    comparison = compare((before, after), present, (BEFORE, AFTER), METERS[:1], Filters())
    assert (comparison.before, comparison.after, comparison.change) == (60, 100, 40)
    assert [(one.project, one.before, one.after) for one in comparison.incomparable] == [(1, 100, None)]
    assert [(part.key, part.change, part.is_new, part.is_gone) for part in comparison.by["project"]] == [
        (2, 30, False, False),
        (3, 20, True, False),
        (4, -10, False, True),
    ]


FIGURES = some.dictionaries(some.sampled_from("abcd"), some.integers(1, 2**40))


@given(FIGURES, FIGURES, some.integers(0, 2**40), some.integers(0, 2**40))
def test_devices_and_the_other_ones_sum_to_the_change_of_the_project(
    before: dict[str, int], after: dict[str, int], rest_before: int, rest_after: int
) -> None:
    whole_before, whole_after = sum(before.values()) + rest_before, sum(after.values()) + rest_after
    parts = {part.key: part for part in contributions(before, after, whole_before, whole_after)}
    for device in {*before, *after}:
        assert parts[device].change == after.get(device, 0) - before.get(device, 0)
        # A device that is not followed may be one of the others.
        assert parts[device].is_new == (device not in before and rest_before == 0)
        assert parts[device].is_gone == (device not in after and rest_after == 0)
    if OTHER in parts:
        assert (parts[OTHER].before, parts[OTHER].after) == (rest_before, rest_after)
    assert set(parts) - {OTHER} == {*before, *after}
    assert sum(part.change for part in parts.values()) == whole_after - whole_before
