"""Wait before the next attempt: exponential backoff with full jitter.

Full jitter is a random part of the whole interval. It keeps processes that failed together from
coming back together: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import random

FIRST, LONGEST = 2.0, 300.0  # seconds


def seconds(attempt: int, first: float = FIRST, longest: float = LONGEST) -> float:
    """Return the wait in seconds after the failure of `attempt`, 1 for the first.

    It lies between 0 and first * 2 ** (attempt - 1), at most `longest`.
    """
    return random.uniform(0, min(first * 2.0 ** min(attempt - 1, 64), longest))  # noqa: S311 - no secret
