"""Job `monthly`: close every month that is over into bills."""

from typing import Any

from collectors.sources import PLATFORM_DB
from metering.runs import close_months
from metering.runs.context import Context


def run(context: Context) -> dict[str, Any]:
    """Close months; see `metering.runs.close_months`."""
    return close_months.run(context, PLATFORM_DB)
