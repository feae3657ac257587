"""The errors of the embedded servers."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metering.errors import FleetmeterError

_REMEDIES = {
    errno.ENOSPC: "free some space on that disk",
    errno.EDQUOT: "free some of that quota",
    errno.EROFS: "set FLEETMETER_DATA_DIR to a folder that can be written",
    errno.EACCES: "run as its owner, or set FLEETMETER_DATA_DIR to a folder of your own",
    errno.EPERM: "run as its owner, or set FLEETMETER_DATA_DIR to a folder of your own",
}


class PostgresError(FleetmeterError):
    """The embedded PostgreSQL cannot be set up, started or stopped."""


class AccountError(FleetmeterError):
    """No account without privileges can serve root here."""


class BrokerError(FleetmeterError):
    """The embedded broker cannot be started."""


@contextmanager
def explained(kind: type[FleetmeterError], what: str, folder: Path) -> Iterator[None]:
    """Translate an operating system's refusal into one sentence of `kind` that says what to do."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, "check FLEETMETER_DATA_DIR")
        reason = f"{error.strerror or error}: {error.filename or folder}"
        raise kind(f"{what} in {folder} failed ({reason}); {remedy}") from error


def complaint(output: str) -> str:
    """Return the line of a server's output that says why it gave up."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    full = [line for line in lines if "No space left" in line]  # later ones only follow from it
    guilty = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "rror:" in line]
    return (full or guilty or lines or ["it said nothing"])[-1]
