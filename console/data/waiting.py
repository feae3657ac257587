"""How many alerts wait for somebody: the number in the title of the browser's tab."""

from contextlib import suppress

from sqlalchemy import text

from console.data.cache import cached
from console.data.transactions import read_transaction_as
from metering.db.scope import Scope
from metering.errors import FleetmeterError

WAITING = text("SELECT count(*) FROM alerts WHERE resolved_at IS NULL AND acknowledged_by IS NULL")


@cached
def _read(scope: Scope) -> int:
    with read_transaction_as(scope) as page:
        return int(page.connection.scalar(WAITING) or 0)


def waiting(scope: Scope) -> int:
    """Return how many open alerts nobody has acknowledged; 0 where they cannot be read: the page says so."""
    with suppress(FleetmeterError):
        return _read(scope)
    return 0
