"""Decide whether usage of a project may be reported: by its owner, its creation, its pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from metering.catalogue import platform, projects
from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.db.prepared import Planned
from metering.events.event import EventRefused, unknown_project
from metering.ledger.own_usage import STANDING, Standing, standing


@dataclass(frozen=True)
class Sender:
    """Who sends: `organization_id` None reports for every project; `actor` is named in the audit log."""

    organization_id: int | None
    actor: str


VISIBLE = "(CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)"


@dataclass(frozen=True)
class ReportedProject:
    """The facts that decide about an event: when the project was metered, and its owners."""

    metered_from: datetime
    metered_until: datetime | None
    owned_from: datetime | None
    pauses: Sequence[tuple[date, date | None]]
    standing: Standing

    def refuse(self, hour: datetime, time: datetime, sender: Sender) -> None:
        """Raise EventRefused if usage at `time` is not this project's, or not its present owner's."""
        if (
            sender.organization_id is not None
            and self.owned_from
            and hour + timedelta(hours=1) <= self.owned_from
        ):
            raise unknown_project()
        if time < self.metered_from:
            raise EventRefused("before_creation", f"the project was created on {self.metered_from:%Y-%m-%d}")
        day = time.date()
        off = any(start <= day and (end is None or day < end) for start, end in self.pauses)
        if off or (self.metered_until is not None and time >= self.metered_until):
            raise EventRefused("project_off", f"the project was off on {day}: nothing is counted for it")


# One statement locks and reads: PostgreSQL returns of a locked row what the transaction before has left.
LOCK = Planned(f"""
    SELECT s.project_id, {METERED_FROM} AS metered_from, CASE WHEN isfinite(u.metered_until)
            THEN u.metered_until END AS metered_until, pauses.off_from, pauses.off_until, w.owned_from,
        {STANDING}
    FROM project_stats s JOIN {platform.PROJECTS} p ON p.id = s.project_id
    CROSS JOIN LATERAL (SELECT {METERED_UNTIL} AS metered_until) u
    CROSS JOIN LATERAL (
        SELECT array_agg(x.off_from ORDER BY x.off_from) AS off_from,
            array_agg(x.off_until ORDER BY x.off_from) AS off_until
        FROM project_pauses x WHERE x.project_id = p.id) pauses
    CROSS JOIN LATERAL (
        SELECT CASE WHEN count(*) > 1 THEN max(w.read_from) END AS owned_from FROM project_owners w
        WHERE CAST(:organization AS bigint) IS NOT NULL AND w.project_id = p.id) w
    WHERE s.project_id = ANY(:ids) AND {VISIBLE}
    ORDER BY s.project_id FOR NO KEY UPDATE OF s""")
REPORTABLE = text(f"SELECT p.id FROM {platform.PROJECTS} p WHERE p.id = ANY(:ids) AND {VISIBLE}")


def lock(
    connection: Connection, project_ids: Sequence[int], sender: Sender, at: datetime
) -> dict[int, ReportedProject]:
    """Lock and return the projects that `sender` may report for, in the order of their ids."""
    parameters = {"ids": sorted(project_ids), "organization": sender.organization_id}
    locked = _lock(connection, parameters) if project_ids else {}
    if len(locked) < len(project_ids):
        # Projects that were never counted before: by us, or by somebody who counts them first at this moment.
        new = set(connection.scalars(REPORTABLE, parameters)) - locked.keys()
        if new:
            projects.ensure(connection, sorted(new), at)
            return _lock(connection, parameters)
    return locked


def _lock(connection: Connection, parameters: dict[str, Any]) -> dict[int, ReportedProject]:
    return {
        row["project_id"]: ReportedProject(
            row["metered_from"],
            row["metered_until"],
            row["owned_from"],
            tuple(zip(row["off_from"] or (), row["off_until"] or (), strict=True)),
            standing(row),
        )
        for row in LOCK.execute(connection, parameters).mappings()
    }
