"""Job `daily`: seal every day that is over."""

from typing import Any

from collectors.sources import PLATFORM_DB
from metering.runs import seal_days
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Seal days; see `metering.runs.seal_days`."""
    return seal_days.run(context, PLATFORM_DB)
