"""LimitService: may an organization or a project use more? It only reads."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, text

from metering import database, plans, settings
from metering.errors import PlanError, UnknownProject
from metering.periods import Month
from metering.plans import Plans, Tier


@dataclass(frozen=True)
class Limit:
    """An answer: `limit` and `remaining` None mean without limit, `used` None means unknown."""

    allowed: bool
    used: int | None
    limit: int | None
    remaining: int | None
    reason: str


# Days of earlier months that are sealed and not closed yet still stand in project_stats; limits
# look at the running month only.
COUNTED = """
    SELECT s.{meter} - coalesce((SELECT sum(d.{meter}) FROM daily_stats d
        WHERE d.project_id = s.project_id AND d.date < :month AND d.date >= coalesce((
            SELECT (make_date(m.year, m.month, 1) + interval '1 month')::date FROM monthly_stats m
            WHERE m.project_id = s.project_id ORDER BY m.year DESC, m.month DESC LIMIT 1),
            '-infinity')), 0)::bigint
    FROM project_stats s WHERE s.project_id = :project"""


class LimitService:
    """Checks against the plan in force. `org` and `project` are ids, or anything with an `.id`.

    Raises UnknownProject when the platform has no such project in that organization, PlanError when
    its tier is in no plan.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        offered: Plans | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        configured = None if engine is not None and offered is not None else settings.load()
        self.engine = engine or database.create(configured, "fleetmeter limits")  # type: ignore[arg-type]
        self.offered = offered or plans.load(configured.plans if configured else None)
        self.clock = clock

    def check_project_limit(self, org: Any) -> Limit:
        """One more project."""
        with database.transaction(self.engine) as connection:
            tier = self._tier(connection, _id(org))
            used = connection.scalar(
                text("SELECT count(*) FROM projects WHERE organization_id = :org AND is_active"),
                {"org": _id(org)},
            )
        return _answer("projects", used, tier.projects, 1)

    def check_user_limit(self, org: Any, count: int) -> Limit:
        """`count` more users."""
        with database.transaction(self.engine) as connection:
            tier = self._tier(connection, _id(org))
            used = connection.scalar(
                text("SELECT count(*) FROM users WHERE organization_id = :org"), {"org": _id(org)}
            )
        return _answer("users", used, tier.users, count)

    def check_device_limit(self, org: Any, project: Any) -> Limit:
        """One more device."""
        return self._level(org, project, "device_count", "total_devices", 1)

    def check_storage_limit(self, org: Any, project: Any, bytes: int) -> Limit:
        """`bytes` more of storage."""
        return self._level(org, project, "storage_bytes", "total_storage_bytes", bytes)

    def check_ecr_image_limit(self, org: Any, project: Any) -> Limit:
        """One more container image."""
        return self._level(org, project, "ecr_image_count", "current_ecr_images", 1)

    def check_mqtt_inbound_limit(self, org: Any, project: Any) -> Limit:
        """One more message from a device."""
        return self._counter(org, project, "mqtt_inbound")

    def check_mqtt_outbound_limit(self, org: Any, project: Any) -> Limit:
        """One more message to a device."""
        return self._counter(org, project, "mqtt_outbound")

    def _level(self, org: Any, project: Any, meter: str, column: str, asked: int) -> Limit:
        query = f"SELECT {column} FROM project_stats WHERE project_id = :project"
        return self._project(org, project, meter, query, asked)

    def _counter(self, org: Any, project: Any, meter: str) -> Limit:
        return self._project(org, project, meter, COUNTED.format(meter=meter), 1)

    def _project(self, org: Any, project: Any, meter: str, query: str, asked: int) -> Limit:
        with database.transaction(self.engine) as connection:
            tier = self._tier(connection, _id(org), _id(project))
            month = Month.of(self.clock()).first.date
            used = connection.execute(
                text(query), {"project": _id(project), "month": month}
            ).scalar_one_or_none()
        allowance = tier.meters.get(meter)
        hard = allowance is not None and allowance.limit == "hard"
        return _answer(meter, used, allowance.included if allowance and hard else None, asked)

    def _tier(self, connection: Connection, org: int, project: int | None = None) -> Tier:
        row = connection.execute(
            text("""
                SELECT o.tier, p.id FROM organizations o
                LEFT JOIN projects p ON p.organization_id = o.id AND p.id = :project
                WHERE o.id = :org"""),
            {"org": org, "project": project},
        ).one_or_none()
        if row is None or (project is not None and row[1] is None):
            subject = f"organization {org}" if row is None else f"project {project} in organization {org}"
            raise UnknownProject(f"the platform has no {subject}")
        try:
            return self.offered.in_force(self.clock().date()).tier(row[0])
        except PlanError as error:
            raise PlanError(f"organization {org}: {error}") from error


def _id(subject: Any) -> int:
    return int(getattr(subject, "id", subject))


def _answer(meter: str, used: int | None, limit: int | None, asked: int) -> Limit:
    if limit is None:
        known = "unknown" if used is None else f"{used:,}"
        return Limit(True, used, None, None, f"{meter}: used {known}, no limit")
    if used is None:
        # Nothing was measured yet: refusing would lock out every new project.
        return Limit(asked <= limit, None, limit, None, f"{meter}: usage unknown, limit {limit:,}")
    remaining = max(limit - used, 0)
    reason = f"{meter}: used {used:,} of {limit:,}; this request {asked:,}"
    return Limit(used + asked <= limit, used, limit, remaining, reason)
