"""LimitService: may an organization or a project use more? It only reads: one statement a check, and
a second one for counters while more than the month before is not closed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Engine, TextClause, text

from metering import database
from metering.errors import DatabaseUnavailable, PlanError, UnknownProject
from metering.meters import METERS
from metering.periods import Month, utc
from metering.plans import Plans, Tier


@dataclass(frozen=True)
class Limit:
    """An answer. `limit` and `remaining` None: without limit; `used` None: unknown, which is not zero.

    A soft limit allows more and says that it is charged; a hard one does not.
    """

    allowed: bool
    used: int | None
    limit: int | None
    remaining: int | None
    reason: str


PROJECTS = "(SELECT count(*) FROM projects p WHERE p.organization_id = o.id AND p.is_active)"
USERS = "(SELECT count(*) FROM users u WHERE u.organization_id = o.id)"
OF_ORGANIZATION = "SELECT o.tier, {used} FROM organizations o WHERE o.id = :org"
OF_PROJECT = """
    SELECT o.tier, {used} AS used {more} FROM projects p
    JOIN organizations o ON o.id = p.organization_id
    LEFT JOIN project_stats s ON s.project_id = p.id
    {closed} WHERE p.id = :project AND o.id = :org"""

# What project_stats still holds of the months before the running one, when the last of them is not
# closed yet: days that are sealed, and hours that are not. Of the month before in the same statement,
# whose bounds are written out: PostgreSQL then plans for the partitions of that month alone, which
# otherwise takes longer than the query. Of more months, which is rare, in another one.
_HELD = """coalesce((SELECT sum(d.{meter}) FROM daily_stats d
        WHERE d.project_id = :project AND d.date >= :since AND d.date < :until), 0)
    + coalesce((SELECT sum(u.{meter}) FROM usage_hourly u WHERE u.project_id = :project
        AND u.hour >= :since_start AND u.hour < :until_start AND u.hour >= s.open_from), 0)"""
CLOSED = """LEFT JOIN LATERAL (
        SELECT (make_date(m.year, m.month, 1) + interval '1 month')::date AS until FROM monthly_stats m
        WHERE m.project_id = p.id ORDER BY m.year DESC, m.month DESC LIMIT 1) closed ON true"""
COUNTED = """, p.created_at, s.open_from, closed.until AS closed,
    CASE WHEN p.created_at >= :until_start OR closed.until >= :until THEN 0 ELSE {held} END AS held"""
EARLIER = "SELECT {held} FROM project_stats s WHERE s.project_id = :project"


class LimitService:
    """Checks against the plan in force. `org` and `project` are ids, or anything with an `.id`.

    Raises UnknownProject when the platform has no such project in that organization, PlanError when
    its tier is in no plan. Counters are compared over the running month, gauges as last sampled.
    """

    def __init__(
        self,
        engine: Engine,
        offered: Plans,
        clock: Callable[[], datetime],
    ) -> None:
        # A single statement needs no transaction around it: two round trips less for every check.
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.offered = offered
        self.clock = clock

    def check_project_limit(self, org: Any) -> Limit:
        """One more project."""
        tier, used = self._organization(org, PROJECTS)
        return _answer("projects", used, tier.projects, 1, hard=True)

    def check_user_limit(self, org: Any, count: int) -> Limit:
        """`count` more users."""
        tier, used = self._organization(org, USERS)
        return _answer("users", used, tier.users, count, hard=True)

    def check_device_limit(self, org: Any, project: Any) -> Limit:
        """One more device."""
        return self._level(org, project, "device_count", 1)

    def check_storage_limit(self, org: Any, project: Any, bytes: int) -> Limit:
        """`bytes` more of storage."""
        return self._level(org, project, "storage_bytes", bytes)

    def check_ecr_image_limit(self, org: Any, project: Any) -> Limit:
        """One more container image."""
        return self._level(org, project, "ecr_image_count", 1)

    def check_mqtt_inbound_limit(self, org: Any, project: Any) -> Limit:
        """One more message from a device."""
        return self._counter(org, project, "mqtt_inbound")

    def check_mqtt_outbound_limit(self, org: Any, project: Any) -> Limit:
        """One more message to a device."""
        return self._counter(org, project, "mqtt_outbound")

    def _level(self, org: Any, project: Any, meter: str, asked: int) -> Limit:
        used = f"s.{getattr(METERS[meter], 'live', meter)}"
        row = self._row(org, project, OF_PROJECT.format(used=used, more="", closed=""), {})
        return self._compared(org, meter, row, row.used, asked)

    def _counter(self, org: Any, project: Any, meter: str) -> Limit:
        running = Month.of(self.clock())
        before = running.previous()
        counted = COUNTED.format(held=_HELD.format(meter=meter))
        query = OF_PROJECT.format(used=f"s.{meter}", more=counted, closed=CLOSED)
        row = self._row(org, project, query, _between(before, running))
        used = row.used
        if used is not None:
            used -= int(row.held) + self._earlier(_id(project), meter, row, before)
        return self._compared(org, meter, row, used, 1)

    def _earlier(self, project: int, meter: str, row: Any, before: Month) -> int:
        """What is held of months earlier than `before`."""
        if row.created_at >= before.start or (row.closed and row.closed >= before.first.date):
            return 0
        oldest = row.closed or min(row.created_at, row.open_from)
        bounds = {"project": project} | _between(Month(oldest.year, oldest.month), before)
        return int(self._asked(EARLIER.format(held=_HELD.format(meter=meter)), bounds)[0])

    def _row(self, org: Any, project: Any, query: str, bounds: dict[str, Any]) -> Any:
        row = self._asked(query, bounds | {"org": _id(org), "project": _id(project)})
        if row is None:
            raise UnknownProject(f"the platform has no project {_id(project)} in organization {_id(org)}")
        return row

    def _asked(self, query: str, bounds: dict[str, Any]) -> Any:
        """The one row. A connection that died in the pool is not asked for first: it is replaced then."""
        try:
            return self._once(query, bounds)
        except DatabaseUnavailable:
            return self._once(query, bounds)

    def _once(self, query: str, bounds: dict[str, Any]) -> Any:
        with database.connected(self.engine) as connection:
            return connection.execute(_statement(query), bounds).one_or_none()

    def _compared(self, org: Any, meter: str, row: Any, used: int | None, asked: int) -> Limit:
        allowance = self._tier(org, row.tier).meters.get(meter)
        if allowance is None:
            return _answer(meter, used, None, asked, hard=False)
        return _answer(meter, used, allowance.included, asked, hard=allowance.limit == "hard")

    def _organization(self, org: Any, used: str) -> tuple[Tier, int]:
        row = self._asked(OF_ORGANIZATION.format(used=used), {"org": _id(org)})
        if row is None:
            raise UnknownProject(f"the platform has no organization {_id(org)}")
        return self._tier(org, row[0]), row[1]

    def _tier(self, org: Any, name: str) -> Tier:
        try:
            return self.offered.in_force(utc(self.clock()).date()).tier(name)
        except PlanError as error:
            raise PlanError(f"organization {_id(org)}: {error}") from error


@cache
def _statement(query: str) -> TextClause:
    """Parsed once: there are a dozen of them."""
    return text(query)


def _between(since: Month, until: Month) -> dict[str, Any]:
    return {
        "since": since.first.date,
        "until": until.first.date,
        "since_start": since.start,
        "until_start": until.start,
    }


def _id(subject: Any) -> int:
    number = int(getattr(subject, "id", subject))
    return number if -(2**63) <= number < 2**63 else 0  # 0: a bigint that is nobody's id


def _answer(meter: str, used: int | None, limit: int | None, asked: int, hard: bool) -> Limit:
    if asked < 0:
        raise ValueError(f"a request for {asked} {meter} asks for nothing; give 0 or more")
    if limit is None:
        known = "usage unknown" if used is None else f"used {used:,}"
        return Limit(True, used, None, None, f"{meter}: {known}, no limit; this request {asked:,}")
    if used is None:
        # Refusing what was never measured would lock out every new project; only a request that
        # cannot fit whatever was used is refused.
        reason = f"{meter}: usage unknown, never measured, limit {limit:,}; this request {asked:,}"
        return Limit(asked <= limit or not hard, None, limit, None, reason)
    fits = used + asked <= limit
    reason = f"{meter}: used {used:,} of {limit:,}; this request {asked:,}"
    if not hard:
        reason += "" if fits else "; more than included is charged"
    return Limit(fits or not hard, used, limit, max(limit - used, 0), reason)
