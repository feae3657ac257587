"""Compare the host's clock with the database's (rule 14)."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from metering.errors import ClockWrong

# SQL of an instant: the host's `:at`, or the database's where they differ by more than `:tolerance` seconds.
AGREED = """CASE
    WHEN abs(extract(epoch FROM clock_timestamp() - CAST(:at AS timestamptz))) > :tolerance
    THEN clock_timestamp() ELSE CAST(:at AS timestamptz) END"""


def difference(connection: Connection, at: datetime) -> timedelta:
    """Return the lead of the host's clock, `at`, over the database's; negative if behind."""
    database_at: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at - database_at


def agreed_instant(connection: Connection, at: datetime, tolerance: float) -> datetime:
    """Return the host's clock, `at`, or the database's if they differ by more than `tolerance` seconds."""
    ahead = difference(connection, at)
    return at if abs(ahead.total_seconds()) <= tolerance else at - ahead


def require(connection: Connection, at: datetime, tolerance: float) -> None:
    """Raise ClockWrong if the host's clock, `at`, and the database's differ by over `tolerance` seconds."""
    ahead = difference(connection, at)
    if abs(ahead.total_seconds()) > tolerance:
        raise ClockWrong(
            f"{sentence(ahead)}, more than FLEETMETER_CLOCK_TOLERANCE ({tolerance:g} s); nothing was done, "
            "because days and months cannot be reopened: set the clock that is wrong (NTP), then try again"
        )


def require_past(connection: Connection, at: datetime, tolerance: float) -> None:
    """Raise ClockWrong if `at`, which some host took as now, is in the database's future."""
    ahead = difference(connection, at)
    if ahead.total_seconds() > tolerance:
        raise ClockWrong(
            f"{at.isoformat()}, for which this run was asked, has not come by the database's clock: the "
            "clock of whoever asked was ahead; set it right (NTP), then ask again"
        )


def sentence(ahead: timedelta) -> str:
    """Return a sentence about a host's clock that is `ahead` of the database's, or behind."""
    seconds = abs(ahead.total_seconds())
    if seconds < 1:
        return "this host's clock and the database's agree"
    amount = f"{seconds:.1f} s" if seconds < 600 else str(timedelta(seconds=round(seconds)))
    return f"this host's clock is {amount} {'ahead of' if ahead > timedelta(0) else 'behind'} the database's"
