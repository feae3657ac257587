"""The archives of months, as the audit log records them."""

from sqlalchemy import Connection, text

from metering.catalogue.month_sql import month_name
from metering.catalogue.periods import Month
from metering.db import audit_log
from metering.errors import PeriodError

ARCHIVED = """(SELECT subject AS month, max((after->>'bills')::bigint) AS bills FROM audit_log
    WHERE action = 'archive' GROUP BY subject)"""

BILLS = """(SELECT year, month, count(*) AS bills FROM monthly_stats GROUP BY year, month)"""

NOT_ARCHIVED = text(f"""
    SELECT b.year, b.month FROM {BILLS} b
    LEFT JOIN {ARCHIVED} a ON a.month = {month_name("b")}
    WHERE a.bills IS NULL OR a.bills < b.bills ORDER BY b.year, b.month""")

IS_ARCHIVED = text(f"""
    SELECT b.year, b.month FROM {BILLS} b
    JOIN {ARCHIVED} a ON a.month = {month_name("b")}
    WHERE a.bills >= b.bills ORDER BY b.year, b.month""")


def unarchived_months(connection: Connection) -> list[Month]:
    """Return the months with bills that no archive holds yet, in order."""
    return [Month(*row) for row in connection.execute(NOT_ARCHIVED)]


def archived_months(connection: Connection) -> list[Month]:
    """Return the months whose every bill is in an archive, in order."""
    return [Month(*row) for row in connection.execute(IS_ARCHIVED)]


def note_archived(
    connection: Connection, month: Month, bills: int, place: str, actor: str, manifest: str | None = None
) -> None:
    """Record that an archive at `place` holds `bills` of `month`, read back and verified.

    `manifest` is the SHA-256 of its manifest, against which a restore is held.
    """
    after = {"bills": bills, "place": place, "manifest": manifest}
    audit_log.record(connection, actor, "archive", str(month), after=after)


def archive_address(connection: Connection, month: Month) -> str:
    """Return the newest archive of `month`, as s3://bucket/prefix/. Raises PeriodError if there is none."""
    query = text("""SELECT after->>'place' FROM audit_log
        WHERE action = 'archive' AND subject = :month ORDER BY id DESC LIMIT 1""")
    place = connection.scalar(query, {"month": str(month)})
    if place is None:
        raise PeriodError(f"{month} is not archived; run: fleetmeter run archive, or name one with --from")
    return str(place)


def noted_manifests(connection: Connection, month: Month) -> list[str]:
    """Return the SHA-256 of the manifest of each archive of `month`; none for those of older versions."""
    query = text("""SELECT DISTINCT after->>'manifest' FROM audit_log
        WHERE action = 'archive' AND subject = :month AND after->>'manifest' IS NOT NULL""")
    return list(connection.scalars(query, {"month": str(month)}))
