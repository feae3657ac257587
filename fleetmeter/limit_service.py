"""LimitService as the platform's backend gets it: on the database of the environment."""

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine

from fleetmeter import environment
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.running import limits


class LimitService(limits.LimitService):
    """Check limits, by the settings of the environment.

    Without arguments it takes database and plans from the settings. It only reads, and starts no server.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        price_plans: Plans | None = None,
        clock: Callable[[], datetime] = environment.now,
    ) -> None:
        if engine is None or price_plans is None:
            settings = environment.load()
            engine = engine or environment.engine(settings, "fleetmeter limits", ping=False)
            price_plans = price_plans or plans.load(settings.plans)
        super().__init__(engine, price_plans, clock)
