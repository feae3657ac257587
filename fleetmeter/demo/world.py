"""The simulated platform: 5 organizations, 24 projects, 600 devices, and who is special among them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, text

from metering.catalogue.periods import Day, Month


@dataclass(frozen=True)
class Project:
    """A simulated project: its owner today, messages a second, devices, and bytes it keeps in S3 by now."""

    id: int
    organization_id: int
    name: str
    rate: float
    devices: int
    s3_bytes: int
    images: int


ORGANIZATIONS = (
    (1, "Harbour Logistics", "enterprise"),
    (2, "Northfield Farms", "pro"),
    (3, "Clearwater Plants", "starter"),
    (4, "Old Town Couriers", "starter"),
    (5, "Robotics Club", "free"),
)
NAMES = (
    *("Crane yard", "Container shuttles", "Quay inspection", "Reach stackers", "Gate cameras"),
    *("Tugs", "Cold store pickers", "Customs scanners"),
    *("Harvesters", "Sprayers", "Milking robots", "Soil probes", "Orchard drones", "Greenhouse carts"),
    *("Pipe crawlers", "Tank divers", "Filter cleaners", "Lab couriers"),
    *("Parcel bikes", "Night lockers", "Sidewalk bots"),
    *("Line followers", "Maze runners", "Football team"),
)
# Of each project: the organization that owns it today, messages a second, devices.
OWNERS = (1,) * 8 + (2,) * 6 + (3,) * 3 + (4,) * 4 + (5,) * 3
RATES = (
    *(57.0, 45.0, 36.0, 30.0, 24.0, 21.0, 15.0, 12.0),
    *(11.0, 8.0, 6.0, 5.0, 3.5, 2.5),
    *(0.5, 0.35, 0.25, 0.15),
    *(0.9, 0.25, 0.2),
    *(0.03, 0.02, 0.25),
)
DEVICES = {1: 50, 2: 20, 3: 8, 4: 8, 5: 8}  # of each project of an organization

OVER_LIMIT, MISSING_DAYS, SPIKE, INACTIVE, DENIED = 24, 10, 4, 17, 13
UPGRADED, FORMER_TIER = 2, "starter"  # an organization
CORRECTED, MOVED, FORMER_OWNER = 15, 18, 3
PLANS = Path(__file__).with_name("plans.toml")


def _project(number: int) -> Project:
    organization = OWNERS[number - 1]
    rate, devices = RATES[number - 1], DEVICES[organization]
    size = round(1000 * rate + 200 + 50 * (number % 7)) * 4_000_000
    return Project(number, organization, NAMES[number - 1], rate, devices, size, 1 + number % 4)


PROJECTS = tuple(_project(number) for number in range(1, 25))


def began(now: datetime, months: int) -> Month:
    """Return the month in which the simulated platform began, `months` before the running one."""
    month = Month.of(now)
    for _ in range(months):
        month = month.previous()
    return month


def missing_days(now: datetime) -> tuple[Day, ...]:
    """Return three days on which the metering of one project was out."""
    return tuple(Day.of(now - timedelta(days=days)) for days in (9, 8, 7))


def spike_day(now: datetime) -> Day:
    """Return the day on which one project sent eight times as much."""
    return Day.of(now - timedelta(days=5))


def owners(connection: Connection) -> dict[int, int]:
    """Return project -> the organization that owns it, as the platform has it now."""
    rows = connection.execute(text("SELECT id, organization_id FROM projects"))
    return {row.id: row.organization_id for row in rows}


def inactive_from(now: datetime) -> datetime:
    """Return when one project was switched off: in the middle of this month, or of the last one."""
    month = Month.of(now) if now.day > 15 else Month.of(now).previous()
    return month.start + timedelta(days=14, hours=10)


def create(connection: Connection, start: datetime, now: datetime) -> None:
    """Fill the platform's tables once, as they were at `start`; later calls change nothing."""
    for identity, name, tier in ORGANIZATIONS:
        connection.execute(
            text("""INSERT INTO organizations (id, name, tier, created_at)
                VALUES (:id, :name, :tier, :at) ON CONFLICT DO NOTHING"""),
            {
                "id": identity,
                "name": name,
                "tier": FORMER_TIER if identity == UPGRADED else tier,
                "at": start,
            },
        )
    for project in PROJECTS:
        _create_project(connection, project, start, now)


def _create_project(connection: Connection, project: Project, start: datetime, now: datetime) -> None:
    off = inactive_from(now) if project.id == INACTIVE else None
    created = connection.execute(
        text("""INSERT INTO projects (id, organization_id, name, is_active, created_at, deactivated_at)
            VALUES (:id, :organization, :name, :active, :at, :off) ON CONFLICT DO NOTHING"""),
        {
            "id": project.id,
            "organization": FORMER_OWNER if project.id == MOVED else project.organization_id,
            "name": project.name,
            "active": off is None,
            "at": start,
            "off": off,
        },
    ).rowcount
    if created:
        connection.execute(
            text("""INSERT INTO devices (project_id, name, last_seen_at, created_at)
                SELECT :id, 'robot-' || n, :seen, :at FROM generate_series(1, :count) n"""),
            {"id": project.id, "count": project.devices, "at": start, "seen": off or now},
        )
