"""Job `hourly`: read every source into the ledger."""

from typing import Any

from collectors.sources import SOURCES
from metering.runs import refresh
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Read every source; see `metering.runs.refresh`."""
    return refresh.run(context, SOURCES)
