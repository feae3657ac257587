"""Stacks of Explore: an unknown series is no zero in the height that is drawn."""

from datetime import date, timedelta

import pytest

from console.views.explore import figures
from console.views.explore.series import Answer, Series

PERIODS = [date(2026, 11, 1) + timedelta(days=n) for n in range(5)]
DATA = Answer(
    "day",
    PERIODS,
    [
        Series("a", "count", [10, 10, None, 10, None]),
        Series("b", "count", [5, 5, 5, 5, None]),
        Series("c", "count", [None, 2, 2, 2, None]),
    ],
)


@pytest.mark.parametrize("look", ["area", "share"])
def test_a_stack_is_broken_where_a_series_is_unknown(look: str) -> None:
    figure = figures.build(DATA, look, "r")
    heights = [trace.y for trace in figure.data if trace.name in "abc"]
    assert [tuple(y) for y in heights] == [
        (10, 10, None, 10, None),
        (5, 5, None, 5, None),
        (None, 2, None, 2, None),  # it begins on the second day
    ]
    (blank,) = [trace for trace in figure.data if trace.name == "Unknown"]
    assert list(blank.x) == [PERIODS[2], PERIODS[4]]


def test_a_period_with_an_unknown_series_is_hatched_and_says_so() -> None:
    figure = figures.build(DATA, "bar", "r")
    (hatched,) = [trace for trace in figure.data if trace.name == "Not measured whole"]
    assert list(hatched.x) == [PERIODS[0], PERIODS[2]]
    assert list(hatched.customdata) == ["2 of 3 series known", "2 of 3 series known"]
    assert not [trace for trace in figures.build(DATA, "line", "r").data if trace.name == "Unknown"]
