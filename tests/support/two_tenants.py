"""Two organizations on one platform; names and ids of the second one are easy to find in any answer."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Engine, text

from metering.catalogue.periods import Day, Month, days
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from tests.support.fleet import Fleet, live
from tests.support.gaps import open_gap
from tests.support.platform import Platform

SECRET = "Zyxware"  # in every name of the second organization
ORGANIZATION, PROJECTS = 8_800_456, (7_700_123, 7_700_124)
STAFF = "staff@fleet.example"


@dataclass(frozen=True)
class TwoTenants:
    """The organization that looks, one of its projects, and the month both have closed."""

    organization: int
    project: int
    closed: Month

    def hidden_from(self, whose: str) -> tuple[str, ...]:
        """Return the texts that people of `whose` must never read.

        `whose` is "own" or "rival"; from everybody else nothing is hidden.
        """
        own = ("window.hacked", "own broke", f"own {self.project} in trouble", STAFF)  # names in its fleet
        return {"own": self.secrets, "rival": own}.get(whose, ())

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the texts that the first organization must never read."""
        return (SECRET, STAFF, *(str(number) for number in (ORGANIZATION, *PROJECTS)))


def add_rival(engine: Engine, fleet: Fleet) -> TwoTenants:
    """Add a second organization beside `fleet`.

    It has days, a bill, and one of everything that can fail.
    """
    platform, at = Platform(engine), datetime.now(UTC)
    month = fleet.closed
    platform.sql(
        "INSERT INTO organizations (id, name, tier, created_at) VALUES (:id, :name, 'starter', :at)",
        id=ORGANIZATION,
        name=f"{SECRET} Corp",
        at=month.start,
    )
    for project in PROJECTS:
        platform.project(ORGANIZATION, month.start, id=project, name=f"{SECRET} {project}")
    missing = tuple(Day(day.date) for day in fleet.missing)
    for day in days(month.first, Day.of(at)):
        live(engine, day, Day.of(at), ORGANIZATION, PROJECTS, missing, at)
    own = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=fleet.projects[0])
    for project in (fleet.projects[0], *PROJECTS):
        trouble(engine, project, at)
    return TwoTenants(own, fleet.projects[0], month)


def trouble(engine: Engine, project: int, at: datetime, shared: bool = True) -> None:
    """Add an adjustment, a gap, an alert and a failed run.

    Also add an unattributed message and a process. If `shared`, the second organization has the gap too.
    """
    whose = SECRET if project in PROJECTS else "own"
    subject = f"{whose} {project} in trouble" + ("" if shared else " again")
    with engine.begin() as connection:
        adjustment = Adjustment(project, "logs", 5, None, at.date(), f"{whose} broke", STAFF)
        adjustments.post(connection, adjustment, plans.load(None), at)
        open_gap(
            connection,
            "mqtt",
            Month.of(at).start,
            at,
            "the broker lost it",
            [project, PROJECTS[0]] if shared else [project],
        )
        connection.execute(
            text("""
                INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at, acknowledged_by)
                VALUES ('limit_over', 'warning', :project, :subject, '{}', now(), :staff);
                INSERT INTO job_runs (job, period, project_id, at, trigger, requested_by, state, errors,
                    finished_at)
                VALUES ('backfill', :subject, :project, now(), 'console', :staff, 'dead', '[]', now());
                INSERT INTO unattributed_messages (hour, reason, messages, sample_topics)
                VALUES (date_trunc('hour', now()), :subject, 1, ARRAY[:subject]);
                INSERT INTO workers (name, role, host, pid) VALUES (:subject, 'runner', :staff, 1)"""),
            {"project": project, "subject": subject, "staff": STAFF},
        )
