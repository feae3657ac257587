"""An archived month comes back as rows that are the archive's, or not at all."""

import csv
import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from fleetmeter import schema
from metering.archive import records, retention
from metering.archive.files import MANIFEST, write_files
from metering.archive.restore import RestoredRows, restore_rows
from metering.catalogue.periods import Month
from metering.db.transactions import transaction
from metering.errors import FleetmeterError, RestoreRefused
from metering.months import adjustments, explain
from metering.months.adjustment import Adjustment
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.closed_months import OCTOBER, close, count
from tests.support.platform import Platform

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
SEPTEMBER = OCTOBER.previous()
TABLES = ("monthly_stats", "daily_stats", "adjustments", "plan_versions")


@pytest.fixture
def another(empty_url: URL) -> Iterator[Engine]:
    """A migrated database in which nothing was ever counted."""
    engine = create_engine(empty_url, connect_args={"options": "-c timezone=UTC"})
    schema.migrate(engine)
    yield engine
    engine.dispose()


def billed(engine: Engine, platform: Platform) -> list[int]:
    """September and October of two projects, one corrected in October."""
    organization = platform.organization("starter")
    projects = [platform.project(organization, created_at=SEPTEMBER.start) for _ in range(2)]
    for month in (SEPTEMBER, OCTOBER):
        for project in projects:
            count(engine, organization, project, 1_500_000, month.start + timedelta(days=9, hours=5))
        if month == SEPTEMBER:
            close(engine, projects, month)
    about = {"usage_date": date(2026, 9, 3), "reason": "=late", "actor": "b@cli"}
    with transaction(engine) as connection:
        for meter, quantity, amount in (("logs", 700_000, None), (None, None, Decimal("-7.25"))):
            correction = Adjustment(projects[0], meter, quantity, amount, **about)  # type: ignore[arg-type]
            adjustments.post(connection, correction, plans.load(None), OCTOBER.start + timedelta(days=12))
    close(engine, projects, OCTOBER)
    return projects


def archived(engine: Engine, folder: Path, month: Month) -> Path:
    place = folder / str(month)
    place.mkdir()
    write_files(engine, month, place)
    return place


def restore(engine: Engine, month: Month, folder: Path) -> RestoredRows:
    with transaction(engine) as connection:
        return restore_rows(connection, month, folder, "a@cli", NOW)


def contents(engine: Engine, table: str) -> list[str]:
    with engine.connect() as connection:
        left_out = "created_at" if table == "plan_versions" else ""
        query = text(f"SELECT (to_jsonb(t) - '{left_out}')::text FROM {table} t ORDER BY 1")
        return list(connection.scalars(query))


def forgotten(engine: Engine, month: Month) -> None:
    """What retention does to an archived month."""
    over = {"": NOW}
    with transaction(engine) as connection:
        records.note_archived(connection, month, 2, "s3://b/p/", "test")
    for table in (retention.HOURS, retention.DAYS):
        retention.shorten(engine, table, over, "test", lambda *_: None)


def test_days_that_retention_removed_come_back_as_they_were(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    (project, _) = billed(engine, platform)
    before = contents(engine, "daily_stats")
    folder = archived(engine, tmp_path, SEPTEMBER)
    forgotten(engine, SEPTEMBER)
    assert len(contents(engine, "daily_stats")) == 62
    assert restore(engine, SEPTEMBER, folder) == RestoredRows(days=60)
    assert contents(engine, "daily_stats") == before
    assert verify(engine).discrepancies == []
    with engine.connect() as connection:
        assert explain.explain(connection, project, SEPTEMBER).agrees
    noted = platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'restore'")
    assert restore(engine, SEPTEMBER, folder) == RestoredRows(), "again, it changes nothing"
    assert platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'restore'") == noted


def test_what_came_back_is_verified_too(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, SEPTEMBER)
    forgotten(engine, SEPTEMBER)
    restore(engine, SEPTEMBER, folder)
    platform.sql("ALTER TABLE daily_stats DISABLE TRIGGER USER")
    platform.sql("ALTER TABLE daily_stats_2026_09 DISABLE TRIGGER USER")
    platform.sql("DELETE FROM daily_stats WHERE project_id = 1 AND date = '2026-09-10'")
    broken = {(discrepancy.law, discrepancy.period) for discrepancy in verify(engine).discrepancies}
    assert ("a closed month is as it was sealed", "2026-09") in broken


def test_a_lost_database_gets_its_months_back_in_order(
    engine: Engine, another: Engine, platform: Platform, tmp_path: Path
) -> None:
    projects = billed(engine, platform)
    folders = {month: archived(engine, tmp_path, month) for month in (SEPTEMBER, OCTOBER)}
    with pytest.raises(RestoreRefused, match="the platform has no project 1, 2"):
        restore(another, SEPTEMBER, folders[SEPTEMBER])
    with another.begin() as connection:
        connection.execute(text("INSERT INTO organizations (id, name, tier) VALUES (1, 'Acme', 'starter')"))
        for project in projects:
            connection.execute(
                text("INSERT INTO projects VALUES (:id, 1, 'Fleet', true, NULL, :at)"),
                {"id": project, "at": SEPTEMBER.start},
            )
    with pytest.raises(RestoreRefused, match="follows a month that is not there"):
        restore(another, OCTOBER, folders[OCTOBER])
    assert restore(another, SEPTEMBER, folders[SEPTEMBER]) == RestoredRows(bills=2, days=60)
    assert restore(another, OCTOBER, folders[OCTOBER]) == RestoredRows(bills=2, days=62, adjustments=2)
    for table in TABLES:
        assert contents(another, table) == contents(engine, table), table
    assert verify(another).discrepancies == []
    with transaction(another) as connection:
        assert connection.scalar(text("SELECT sum(lifetime_mqtt_inbound) FROM project_stats")) == 6_000_000
        about = Adjustment(1, None, None, Decimal(1), date(2026, 10, 1), "x", "a@cli")
        next_ = adjustments.post(connection, about, plans.load(None), NOW)
    assert next_ > 2


def test_a_month_that_is_still_counted_is_not_restored_over(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    projects = billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    platform.sql("ALTER TABLE monthly_stats DISABLE TRIGGER USER")
    platform.sql("DELETE FROM monthly_stats WHERE month = 10")
    platform.sql("UPDATE project_stats SET open_from = '2026-10-20Z' WHERE project_id = :id", id=projects[0])
    with pytest.raises(RestoreRefused, match=f"project {projects[0]} still counts 2026-10"):
        restore(engine, OCTOBER, folder)
    assert platform.scalar("SELECT count(*) FROM monthly_stats WHERE month = 10") == 0


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE daily_stats SET mqtt_inbound = 7 WHERE date = '2026-10-10'",
        "UPDATE daily_stats SET row_hash = 'x' WHERE date = '2026-10-10'",
        "UPDATE monthly_stats SET total_charge = 0 WHERE month = 10",
        "UPDATE monthly_stats SET seal = 'x' WHERE month = 10",
        "UPDATE adjustments SET amount = -99 WHERE id = 2",
    ],
)
def test_what_differs_is_refused_and_nothing_is_changed(
    engine: Engine, platform: Platform, tmp_path: Path, tampering: str
) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    platform.sql(f"ALTER TABLE {tampering.split()[1]} DISABLE TRIGGER USER")
    platform.sql(tampering)
    before = {table: contents(engine, table) for table in TABLES}
    with pytest.raises(RestoreRefused, match="project 1"):
        restore(engine, OCTOBER, folder)
    assert {table: contents(engine, table) for table in TABLES} == before


def test_files_that_were_changed_are_refused(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    days = folder / "days.csv"
    days.write_text(days.read_text().replace(",1500000,", ",1500001,", 1))
    with pytest.raises(RestoreRefused, match="does not verify: project 1, 2026-10-10"):
        restore(engine, OCTOBER, folder)
    with pytest.raises(RestoreRefused, match="is of 2026-09, not of 2026-10"):
        restore(engine, OCTOBER, archived(engine, tmp_path, SEPTEMBER))


def lost(engine: Engine, platform: Platform, month: Month) -> None:
    """A database that lost the adjustments of a month, behind the triggers."""
    platform.sql("ALTER TABLE adjustments DISABLE TRIGGER USER")
    platform.sql("DELETE FROM adjustments WHERE posted_month = :month", month=month.first.date)
    platform.sql("ALTER TABLE audit_log DISABLE TRIGGER USER")
    platform.sql("DELETE FROM audit_log WHERE action = 'adjust'")


def forged(folder: Path, **cells: str) -> None:
    """Another line in adjustments.csv, and no manifest."""
    path = folder / "adjustments.csv"
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows.append(rows[-1] | {"id": "99", "meter": "", "quantity": "", "reason": "forged"} | cells)
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    (folder / MANIFEST).unlink()


def test_adjustments_come_back_and_the_log_names_the_restorer(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    before = contents(engine, "adjustments")
    lost(engine, platform, OCTOBER)
    assert restore(engine, OCTOBER, folder) == RestoredRows(adjustments=2)
    assert contents(engine, "adjustments") == before
    logged = platform.rows("SELECT actor, after->>'actor', at FROM audit_log WHERE action = 'adjust'")
    assert [tuple(row) for row in logged] == [("a@cli", "b@cli", NOW)] * 2
    assert verify(engine).discrepancies == []


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"amount": "-500.00", "posted_month": "2026-11-01"}, "was posted to 2026-11-01, not to 2026-10"),
        ({"amount": "-500.00"}, "not those that its bill was sealed with"),
        ({"amount": "", "meter": "logs", "quantity": "7", "currency": ""}, "not those that its bill"),
        ({"amount": "", "meter": "lgos", "quantity": "7", "currency": ""}, "not those that its bill"),
        ({"amount": "much"}, "was rewritten"),
    ],
)
def test_an_adjustment_that_no_bill_was_sealed_with_is_refused(
    engine: Engine, platform: Platform, tmp_path: Path, cells: dict[str, str], says: str
) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    forged(folder, **cells)
    before = contents(engine, "adjustments")
    with pytest.raises(RestoreRefused, match=says):
        restore(engine, OCTOBER, folder)
    assert contents(engine, "adjustments") == before


def test_a_folder_whose_manifest_was_not_noted_is_refused(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    billed(engine, platform)
    folder = archived(engine, tmp_path, OCTOBER)
    noted = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    with transaction(engine) as connection:
        records.note_archived(connection, OCTOBER, 2, "s3://b/2026-10/", "test", noted)
    assert restore(engine, OCTOBER, folder) == RestoredRows()
    (folder / "plans.json").write_text((folder / "plans.json").read_text() + " ")
    with pytest.raises(FleetmeterError, match=r"plans\.json is not what was archived"):
        restore(engine, OCTOBER, folder)
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text() + " ")
    with pytest.raises(FleetmeterError, match="the audit log noted"):
        restore(engine, OCTOBER, folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(FleetmeterError, match="is not the manifest of an archive"):
        restore(engine, OCTOBER, folder)
