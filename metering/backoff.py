"""Wait before the next attempt: exponential backoff with full jitter.

Full jitter is a random part of the whole interval. It keeps processes that failed together from
coming back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import random

LONGEST = 300.0  # seconds


def seconds(attempt: int, longest: float = LONGEST) -> float:
    """Return the wait in seconds after the failure of `attempt` (1 for the first).

    It lies between 0 and min(2 ** attempt, longest).
    """
    return random.uniform(0, min(2.0 ** min(attempt, 64), longest))  # noqa: S311 - no secret
