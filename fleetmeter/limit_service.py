"""LimitService as the platform's backend gets it: on the database of the environment."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from fleetmeter import environment
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.running import limits


class LimitService(limits.LimitService):
    """metering.running.limits.LimitService that finds the settings, the plans and an embedded PostgreSQL."""

    def __init__(
        self,
        engine: Engine | None = None,
        offered: Plans | None = None,
        clock: Callable[[], datetime] = environment.now,
    ) -> None:
        if engine is None or offered is None:
            found = environment.load()
            engine = engine or environment.engine(found, "fleetmeter limits", ping=False)
            offered = offered or plans.load(found.plans)
        super().__init__(engine, offered, clock)
