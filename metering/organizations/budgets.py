"""Budgets: a limit in money of a customer's or a project's month, compared with the projected charge.

An organization's budget covers the projects that it owns now. A month in another currency than the budget's
is not compared, and says so; a charge that cannot be projected yet is unknown, which is not zero.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform, projects
from metering.catalogue.periods import Month
from metering.db import audit_log
from metering.errors import BudgetRefused
from metering.pricing.plans import Plans
from metering.running import organization_spend, spend
from metering.running.spend import Spend

THRESHOLDS = (50, 80, 100)  # percent of the projected charge

ALL = f"""
    SELECT b.id, b.organization_id, o.name AS organization, b.project_id, p.name AS project,
        b.amount, b.currency
    FROM budgets b LEFT JOIN {platform.ORGANIZATIONS} o ON o.id = b.organization_id
    LEFT JOIN {platform.PROJECTS} p ON p.id = b.project_id"""
LIST = text(f"{ALL} ORDER BY b.organization_id, b.project_id")
OWN = text(f"""
    SELECT p.id FROM {platform.PROJECTS} p
    WHERE p.organization_id = ANY(:organizations) OR p.id = ANY(:projects) ORDER BY p.id""")
ONE = text(f"""{ALL} WHERE b.organization_id IS NOT DISTINCT FROM CAST(:organization_id AS bigint)
    AND b.project_id IS NOT DISTINCT FROM CAST(:project_id AS bigint) FOR UPDATE OF b""")
INSERT = text("""
    INSERT INTO budgets (organization_id, project_id, amount, currency)
    VALUES (:organization_id, :project_id, :amount, :currency)""")
UPDATE = text("UPDATE budgets SET amount = :amount, currency = :currency WHERE id = :id")
DELETE = text("DELETE FROM budgets WHERE id = :id")
LOCK = text("LOCK TABLE budgets IN SHARE ROW EXCLUSIVE MODE")


@dataclass(frozen=True)
class Budget:
    """A budget beside the cost of the running month, both in money.

    `organization_id` or `project_id`, never both. `billed_in`: the currency of the month. `so_far` and
    `projected` are in that currency; None: unknown.
    """

    id: int
    organization_id: int | None
    organization: str | None
    project_id: int | None
    project: str | None
    amount: Decimal
    currency: str
    billed_in: str
    so_far: Decimal | None
    projected: Decimal | None

    @property
    def percent(self) -> int | None:
        """Return the projected charge in percent of the budget, rounded down.

        None where the two cannot be compared.
        """
        if self.projected is None or self.currency != self.billed_in:
            return None
        return int(self.projected * 100 // self.amount)


def compare(connection: Connection, plans: Plans, at: datetime) -> list[Budget]:
    """Return every budget beside the month that runs at `at` (aware, UTC)."""
    rows = [dict(row) for row in connection.execute(LIST).mappings()]
    if not rows:
        return []
    scope = {
        "organizations": [row["organization_id"] for row in rows if row["organization_id"] is not None],
        "projects": [row["project_id"] for row in rows if row["project_id"] is not None],
    }
    ids = list(connection.execute(OWN, scope).scalars())
    spends = spend.of_projects(connection, plans, at, ids)
    billed_in = plans.in_force(Month.of(at).last.date).currency
    return [_compare(row, billed_in, spends) for row in rows]


def _compare(row: dict[str, Any], billed_in: str, spends: Sequence[Spend]) -> Budget:
    name = "project_id" if row["project_id"] is not None else "organization_id"
    own = [one for one in spends if getattr(one, name) == row[name]]
    so_far = sum((one.so_far for one in own), Decimal(0)) if own else None
    return Budget(**row, billed_in=billed_in, so_far=so_far, projected=organization_spend.projected_sum(own))


def save(
    connection: Connection,
    plans: Plans,
    at: datetime,
    amount: Decimal,
    currency: str,
    actor: str,
    organization_id: int | None = None,
    project_id: int | None = None,
) -> None:
    """Set the budget of an organization or of a project for each month, in place of an earlier one.

    Raises BudgetRefused, and UnknownProject.
    """
    billed_in = plans.in_force(Month.of(at).last.date).currency
    whose = {"organization_id": organization_id, "project_id": project_id}
    subject = _subject(connection, organization_id, project_id)
    if currency != billed_in:
        raise BudgetRefused(f"{subject} is billed in {billed_in}, not in {currency}; give the amount in it")
    if not amount.is_finite() or amount <= 0:
        raise BudgetRefused(f"a budget is an amount above 0, not {amount}; `budget remove` takes one away")
    connection.execute(LOCK)
    before = connection.execute(ONE, whose).mappings().one_or_none()
    money = {"amount": amount, "currency": currency}
    if before is None:
        connection.execute(INSERT, whose | money)
    else:
        connection.execute(UPDATE, money | {"id": before["id"]})
    audit_log.record(connection, actor, "budget", subject, _money(before), money)


def remove(
    connection: Connection, actor: str, organization_id: int | None = None, project_id: int | None = None
) -> None:
    """Take away the budget of an organization or of a project. Raises BudgetRefused if there is none."""
    subject = _subject(connection, organization_id, project_id)
    whose = {"organization_id": organization_id, "project_id": project_id}
    before = connection.execute(ONE, whose).mappings().one_or_none()
    if before is None:
        raise BudgetRefused(f"{subject} has no budget; see: fleetmeter budget")
    connection.execute(DELETE, {"id": before["id"]})
    audit_log.record(connection, actor, "budget", subject, _money(before), None)


def _money(row: Any) -> dict[str, Any] | None:
    return None if row is None else {"amount": row["amount"], "currency": row["currency"]}


def _subject(connection: Connection, organization_id: int | None, project_id: int | None) -> str:
    if (organization_id is None) == (project_id is None):
        raise BudgetRefused("a budget is of one organization or of one project; name one of them")
    if project_id is not None:
        return f"project {projects.require(connection, project_id)}"
    return f"organization {require_organization(connection, int(organization_id or 0))}"


def require_organization(connection: Connection, organization_id: int) -> int:
    """Return `organization_id` if the platform has it. Raises BudgetRefused."""
    query = text(f"SELECT id FROM {platform.ORGANIZATIONS} o WHERE id = :id")
    if not 0 < organization_id < 2**63 or not connection.scalar(query, {"id": organization_id}):
        raise BudgetRefused(
            f"there is no organization {organization_id}; see the platform's organizations table"
        )
    return organization_id
