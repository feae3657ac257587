"""What decides whether usage of a project may be reported: its owner, its creation, its pauses."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import Connection, text

from metering.catalogue.projects import METERED_FROM, METERED_UNTIL
from metering.events.event import Refused, unknown_project


@dataclass(frozen=True)
class Sender:
    """Who sends: `organization_id` None reports for every project; `actor` is named in the audit log."""

    organization_id: int | None
    actor: str


@dataclass(frozen=True)
class ReportedProject:
    """What decides about an event: when the project was metered and by whom owned."""

    metered_from: datetime
    metered_until: datetime | None
    owned_from: datetime | None
    pauses: Sequence[tuple[date, date | None]]

    def refuse(self, hour: datetime, time: datetime, sender: Sender) -> None:
        """Raise Refused if usage at `time` is not this project's, or not its present owner's."""
        if (
            sender.organization_id is not None
            and self.owned_from
            and hour + timedelta(hours=1) <= self.owned_from
        ):
            raise unknown_project()
        if time < self.metered_from:
            raise Refused("before_creation", f"the project was created on {self.metered_from:%Y-%m-%d}")
        day = time.date()
        off = any(start <= day and (end is None or day < end) for start, end in self.pauses)
        if off or (self.metered_until is not None and time >= self.metered_until):
            raise Refused("project_off", f"the project was off on {day}: nothing is counted for it")


PROJECTS = text(f"""
    SELECT p.id, {METERED_FROM} AS metered_from, CASE WHEN isfinite(u.metered_until) THEN u.metered_until END
            AS metered_until, pauses.off_from, pauses.off_until,
        CASE WHEN CAST(:organization AS bigint) IS NOT NULL THEN (
            SELECT CASE WHEN count(*) > 1 THEN max(w.read_from) END FROM project_owners w
            WHERE w.project_id = p.id) END AS owned_from
    FROM projects p CROSS JOIN LATERAL (SELECT {METERED_UNTIL} AS metered_until) u
    CROSS JOIN LATERAL (
        SELECT array_agg(x.off_from ORDER BY x.off_from) AS off_from,
            array_agg(x.off_until ORDER BY x.off_from) AS off_until
        FROM project_pauses x WHERE x.project_id = p.id) pauses
    WHERE p.id = ANY(:ids)
        AND (CAST(:organization AS bigint) IS NULL OR p.organization_id = :organization)""")


def load(connection: Connection, project_ids: Sequence[int], sender: Sender) -> dict[int, ReportedProject]:
    """Return what decides about those of the projects that `sender` may report for, by id."""
    parameters = {"ids": list(project_ids), "organization": sender.organization_id}
    return {
        row.id: ReportedProject(
            row.metered_from,
            row.metered_until,
            row.owned_from,
            tuple(zip(row.off_from or (), row.off_until or (), strict=True)),
        )
        for row in connection.execute(PROJECTS, parameters)
    }
