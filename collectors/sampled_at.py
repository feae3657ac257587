"""When a level was sampled, of a run whose `at` may be past."""

from datetime import datetime

from metering.catalogue.periods import Hour


def sampled_at(at: datetime, read_at: datetime | None) -> datetime:
    """Return the instant of a level: `read_at` if that is in a later hour than `at`, else `at`."""
    return at if read_at is None or Hour.of(read_at) <= Hour.of(at) else read_at
