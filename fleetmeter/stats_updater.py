"""StatsUpdaterService: refresh, count, seal and close, for the platform's backend.

It uses the domain and the collectors, and never `jobs`: a backend may have a package of that name.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from collectors.sources import PLATFORM_DB, SOURCES
from fleetmeter import environment
from metering.catalogue import platform, projects
from metering.config.settings import Settings
from metering.db import clock
from metering.db.transactions import transaction
from metering.errors import ProjectInactive
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.partitions import ensure_partitions
from metering.runs import close_months, definitions, refresh, seal_days
from metering.runs.execution import Tasks
from metering.runs.foreground import run_now
from metering.runs.outcome import Outcome

TASKS: Tasks = {
    "hourly": lambda context: refresh.run(context, SOURCES),
    "daily": lambda context: seal_days.run(context, PLATFORM_DB),
    "monthly": lambda context: close_months.run(context, PLATFORM_DB),
}


class StatsUpdaterService:
    """Refresh, count, seal and close. A project is its id, or any object with an `id`.

    Without arguments it uses the settings of the environment. Every method raises a FleetmeterError
    whose message says what to do: UnknownProject, DatabaseUnavailable, SchemaError; a job also raises
    ClockWrong if this host's clock and the database's differ.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        engine: Engine | None = None,
        clock: Callable[[], datetime] = environment.now,
    ) -> None:
        """Connect to the database of the settings. `clock` returns the present instant, in UTC."""
        self.settings = settings or environment.load_or_start()
        self.engine = engine or environment.engine(self.settings, "fleetmeter facade")
        self.clock = clock

    def update_all_projects(self) -> Outcome:
        """Read every source for every project, now: job `hourly`."""
        return self._run("hourly")

    def update_project_stats(self, project: Any) -> Outcome:
        """Read every source for one project, now."""
        return self._run("hourly", project)

    def increment_mqtt_inbound(self, project_id: int, count: int) -> None:
        """Add `count` messages from devices that do not pass the counter daemon."""
        self._increment(project_id, inbound=count)

    def increment_mqtt_outbound(self, project_id: int, count: int) -> None:
        """Add `count` messages to devices that do not pass the counter daemon."""
        self._increment(project_id, outbound=count)

    def create_daily_snapshot(self, project: Any) -> Outcome:
        """Seal one project's days up to yesterday (UTC); days already sealed stay as they are."""
        return self._run("daily", project)

    def create_all_daily_snapshots(self) -> Outcome:
        """Seal every project's days up to yesterday (UTC)."""
        return self._run("daily")

    def reset_monthly_stats(self, project: Any) -> Outcome:
        """Close one project's months before the running one, as far as they are open."""
        return self._run("monthly", project)

    def reset_all_monthly_stats(self) -> Outcome:
        """Close every project's months before the running one, as far as they are open."""
        return self._run("monthly")

    def _run(self, job: str, project: Any = None) -> Outcome:
        project_id = None if project is None else int(getattr(project, "id", project))
        environment.require_clock(self.settings, self.engine)
        at = self.clock()
        request = definitions.request(job, at, "manual", "library", project_id)
        read_at = at if self.clock is environment.now else None
        return run_now(self.settings, self.engine, TASKS, request, read_at=read_at)

    def _increment(self, project_id: int, inbound: int = 0, outbound: int = 0) -> None:
        if inbound < 0 or outbound < 0:
            raise ValueError("a count is never negative; post an adjustment to take usage back")
        with transaction(self.engine) as connection:
            at = self._present(connection)
        ensure_partitions(self.engine, at)
        with transaction(self.engine) as connection:
            projects.require(connection, project_id)
            organization = connection.scalar(
                text(f"SELECT organization_id FROM {platform.PROJECTS} projects WHERE id = :id"),
                {"id": project_id},
            )
            usage = MqttUsage(inbound, outbound, 0, 0, "library")
            add_mqtt(connection, {(int(organization or 0), project_id): usage}, at)
            metered = projects.is_metered(connection, project_id, at)
        if not metered:
            raise ProjectInactive(
                f"project {project_id} is off: {inbound + outbound:,} messages are kept as unattributed "
                "(project_inactive) and not billed; switch the project on, or stop counting for it"
            )

    def _present(self, connection: Connection) -> datetime:
        """Return the instant of a count: the database's if this host's clock is wrong."""
        if self.clock is not environment.now:
            return self.clock()
        return clock.agreed_instant(connection, self.clock(), self.settings.clock_tolerance)
