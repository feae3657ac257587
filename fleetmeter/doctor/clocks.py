"""Check the clocks of this host and of runners."""

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import Connection

from fleetmeter.doctor.finding import Finding
from metering.config.settings import Settings
from metering.db import clock, workers


def clocks(connection: Connection, settings: Settings, at: datetime) -> Iterator[Finding]:
    """Check whether this host's clock and those of runners agree with the database's."""
    ahead = clock.difference(connection, at)
    ok = abs(ahead.total_seconds()) <= settings.clock_tolerance
    advice = "" if ok else "set the clock that is wrong (NTP); until then jobs and --at refuse"
    yield Finding("clock", ok, clock.sentence(ahead), advice)
    for worker in workers.with_wrong_clock(connection, settings.clock_tolerance, "runner"):
        result = f"the clock of {worker.host} is {worker.seconds:+.1f} s off the database's"
        yield Finding("clock", False, result, "set it right (NTP); until then its runner does nothing")
