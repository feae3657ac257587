"""Fleetmeter: usage metering and billing. The platform's backend imports this package."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fleetmeter.limit_service import LimitService
    from fleetmeter.stats_updater import StatsUpdaterService

__all__ = ["LimitService", "StatsUpdaterService"]


def __getattr__(name: str) -> Any:
    # On demand, so that a command which needs neither does not wait for their imports.
    if name == "StatsUpdaterService":
        from fleetmeter.stats_updater import StatsUpdaterService  # noqa: PLC0415

        return StatsUpdaterService
    if name == "LimitService":
        from fleetmeter.limit_service import LimitService  # noqa: PLC0415

        return LimitService
    raise AttributeError(f"module 'fleetmeter' has no attribute {name!r}")
