"""Wait for a condition instead of for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def until(condition: Callable[[], Value], seconds: float = 90, pause: float = 0.05) -> Value:
    """Return the first true value of `condition`.

    Asks again after each `pause`, in seconds, and fails when there is none within `seconds`.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not true within {seconds:g} s"
        time.sleep(pause)
    return value
