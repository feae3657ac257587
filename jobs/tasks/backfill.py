"""Job `backfill`: seal missing days of the past."""

from typing import Any

from collectors.sources import PLATFORM_DB
from metering.runs import backfill
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Seal the missing days of a range; see `metering.runs.backfill`."""
    return backfill.run(context, PLATFORM_DB)
