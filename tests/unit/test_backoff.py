"""The wait before the next attempt grows, is random, and is bounded."""

import pytest

from metering import backoff


@pytest.mark.parametrize(("attempt", "bound"), [(1, 2), (2, 4), (5, 32), (9, 300), (10_000, 300)])
def test_the_wait_is_a_random_part_of_a_doubling_interval(attempt: int, bound: float) -> None:
    waits = [backoff.seconds(attempt) for _ in range(200)]
    assert all(0 <= wait <= bound for wait in waits)
    assert max(waits) > bound / 2
    assert len(set(waits)) > 100


def test_first_and_longest_are_the_callers() -> None:
    assert max(backoff.seconds(1, first=0.2, longest=15) for _ in range(200)) <= 0.2
    assert max(backoff.seconds(50, first=0.2, longest=15) for _ in range(200)) <= 15
