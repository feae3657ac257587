"""How long to wait before the next attempt: exponential backoff with full jitter, by tenacity.

Full jitter, a random part of the whole interval, keeps what failed together from coming back
together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from typing import Any, cast

from tenacity import RetryCallState, wait_random_exponential

LONGEST = 300.0  # seconds

_wait = wait_random_exponential(multiplier=2, max=LONGEST)


def seconds(attempt: int) -> float:
    """The wait after the failure of `attempt` (1 for the first), from 0 to min(2 ** attempt, 300)."""
    state = RetryCallState(cast(Any, None), None, (), {})
    state.attempt_number = attempt
    return float(_wait(state))
