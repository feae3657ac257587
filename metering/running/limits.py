"""LimitService: may an organization or a project use more? It only reads: one statement a check."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Engine, TextClause, text

from metering.catalogue import platform
from metering.catalogue.meters import METERS
from metering.catalogue.periods import Month, utc
from metering.db.transactions import connected
from metering.errors import DatabaseUnavailable, PlanError, UnknownProject
from metering.pricing.month_versions import in_month
from metering.pricing.plans import Plans, Tier
from metering.pricing.price_terms import Allowance
from metering.running import shares
from metering.running.usage_in_month import IN_MONTH


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


PROJECTS = f"(SELECT count(*) FROM {platform.PROJECTS} p WHERE p.organization_id = o.id AND p.is_active)"
USERS = f"(SELECT count(*) FROM {platform.USERS} u WHERE u.organization_id = o.id)"
OF_ORGANIZATION = f"SELECT o.tier, {{used}} FROM {platform.ORGANIZATIONS} o WHERE o.id = :org"
OF_PROJECT = f"""
    SELECT o.tier, {{used}} AS used FROM {platform.PROJECTS} p
    JOIN {platform.ORGANIZATIONS} o ON o.id = p.organization_id
    LEFT JOIN project_stats s ON s.project_id = p.id
    WHERE p.id = :project AND o.id = :org"""


class LimitService:
    """Checks against the plan that rates the running month. `org` and `project` are ids, or have an `.id`.

    Raises UnknownProject when the platform has no such project in that organization, PlanError when
    its tier is in no plan. Counters are compared over the running month, gauges as last sampled.
    """

    def __init__(
        self,
        engine: Engine,
        plans: Plans,
        clock: Callable[[], datetime],
    ) -> None:
        # A single statement needs no transaction around it: two round trips less for every check.
        self.engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.plans = plans
        self.clock = clock

    def check_project_limit(self, org: Any) -> Limit:
        """Check one more project."""
        tier, used = self._organization(org, PROJECTS)
        return answer("projects", used, tier.projects, 1, hard=True)

    def check_user_limit(self, org: Any, count: int) -> Limit:
        """Check `count` more users."""
        tier, used = self._organization(org, USERS)
        return answer("users", used, tier.users, count, hard=True)

    def check_device_limit(self, org: Any, project: Any) -> Limit:
        """Check one more device."""
        return self._level(org, project, "device_count", 1)

    def check_storage_limit(self, org: Any, project: Any, bytes: int) -> Limit:
        """Check `bytes` more of storage."""
        return self._level(org, project, "storage_bytes", bytes)

    def check_ecr_image_limit(self, org: Any, project: Any) -> Limit:
        """Check one more container image."""
        return self._level(org, project, "ecr_image_count", 1)

    def check_mqtt_inbound_limit(self, org: Any, project: Any) -> Limit:
        """Check one more message from a device."""
        return self._counter(org, project, "mqtt_inbound")

    def check_mqtt_outbound_limit(self, org: Any, project: Any) -> Limit:
        """Check one more message to a device."""
        return self._counter(org, project, "mqtt_outbound")

    def _level(self, org: Any, project: Any, meter: str, amount: int) -> Limit:
        row = self._row(org, project, f"s.{getattr(METERS[meter], 'live', meter)}", {})
        return self._compare(org, meter, row, amount)

    def _counter(self, org: Any, project: Any, meter: str) -> Limit:
        at = self.clock()
        month = Month.of(at)
        bounds = month.bounds() | {"after": month.next().first.date}
        row = self._row(org, project, IN_MONTH.format(meter=meter), bounds)
        if not self.plans.in_force(month.last.date).prorate:
            return self._compare(org, meter, row, 1)
        with connected(self.engine) as connection:
            part = shares.of_projects(connection, in_month(self.plans, month), utc(at), [_id(project)])
        return self._compare(org, meter, row, 1, part.get((_id(project), row.tier, meter)))

    def _row(self, org: Any, project: Any, used: str, bounds: dict[str, Any]) -> Any:
        bounds = bounds | {"org": _id(org), "project": _id(project)}
        row = self._query(OF_PROJECT.format(used=used), bounds)
        if row is None:
            raise UnknownProject(f"the platform has no project {_id(project)} in organization {_id(org)}")
        return row

    def _query(self, query: str, bounds: dict[str, Any]) -> Any:
        """Return the one row; a connection that died in the pool is replaced, and asked once more."""
        try:
            return self._once(query, bounds)
        except DatabaseUnavailable:
            return self._once(query, bounds)

    def _once(self, query: str, bounds: dict[str, Any]) -> Any:
        with connected(self.engine) as connection:
            return connection.execute(_statement(query), bounds).one_or_none()

    def _compare(self, org: Any, meter: str, row: Any, amount: int, part: int | None = None) -> Limit:
        used = None if row.used is None else int(row.used)
        allowance = self._tier(org, row.tier).meters.get(meter)
        if allowance is None:
            return answer(meter, used, None, amount, hard=False)
        return of_allowance(meter, used, allowance, amount, part)

    def _organization(self, org: Any, used: str) -> tuple[Tier, int]:
        row = self._query(OF_ORGANIZATION.format(used=used), {"org": _id(org)})
        if row is None:
            raise UnknownProject(f"the platform has no organization {_id(org)}")
        return self._tier(org, row[0]), row[1]

    def _tier(self, org: Any, name: str) -> Tier:
        try:
            return self.plans.in_force(Month.of(self.clock()).last.date).tier(name)
        except PlanError as error:
            raise PlanError(f"organization {_id(org)}: {error}") from error


def of_allowance(meter: str, used: int | None, allowance: Allowance, amount: int, part: int | None) -> Limit:
    """Return the answer by a tier's allowance; `part`: in proportion, None for all of it."""
    hard = allowance.limit == "hard"
    if part is None or part == allowance.included:
        return answer(meter, used, allowance.included, amount, hard)
    limit = answer(meter, used, part, amount, hard)
    return replace(limit, reason=f"{limit.reason}; the limit is in proportion to the days of the month")


@cache
def _statement(query: str) -> TextClause:
    """Return the parsed statement; there are a dozen, each parsed once."""
    return text(query)


def _id(subject: Any) -> int:
    number = int(getattr(subject, "id", subject))
    return number if -(2**63) <= number < 2**63 else 0  # 0: a bigint that is nobody's id


def answer(meter: str, used: int | None, limit: int | None, amount: int, hard: bool) -> Limit:
    """Return the answer to a request for `amount` more. Raises ValueError for a negative one."""
    if amount < 0:
        raise ValueError(f"a request for {amount} {meter} asks for nothing; give 0 or more")
    if limit is None:
        usage = "usage unknown" if used is None else f"used {used:,}"
        return Limit(True, used, None, None, f"{meter}: {usage}, no limit; this request {amount:,}")
    if used is None:
        # Refusing what was never measured would lock out every new project; only a request that
        # cannot fit at any usage is refused.
        reason = f"{meter}: usage unknown, never measured, limit {limit:,}; this request {amount:,}"
        return Limit(amount <= limit or not hard, None, limit, None, reason)
    fits = used + amount <= limit
    reason = f"{meter}: used {used:,} of {limit:,}; this request {amount:,}"
    if not hard:
        reason += "" if fits else "; more than included is charged"
    return Limit(fits or not hard, used, limit, max(limit - used, 0), reason)
