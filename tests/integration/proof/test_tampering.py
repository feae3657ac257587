"""What somebody changed behind the triggers, in the database or in an export, is named."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import Engine

from metering.days.seal import row_hash
from metering.db.transactions import transaction
from metering.exports.export import Export
from metering.months import adjustments, gaps
from metering.months.adjustment import Adjustment
from metering.months.close import close_month
from metering.pricing import plans
from metering.pricing.plans import Plans
from metering.proof import offline
from metering.proof.verify import EXPORTED, verify
from tests.support.closed_months import OCTOBER, closed_october, export_days, export_month
from tests.support.gaps import open_gap
from tests.support.platform import Platform

NOW = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
REHASH = f"UPDATE daily_stats d SET row_hash = {row_hash('d')}"


def decided(engine: Engine, platform: Platform) -> int:
    """A closed month, an adjustment of each kind, an accepted gap."""
    (project,) = closed_october(engine, platform)
    about = {"usage_date": date(2026, 10, 3), "reason": "late", "actor": "a@cli"}
    with transaction(engine) as connection:
        for meter, quantity, amount in (("logs", 70, None), (None, None, Decimal("-7.25"))):
            correction = Adjustment(project, meter, quantity, amount, **about)  # type: ignore[arg-type]
            adjustments.post(connection, correction, plans.load(None), NOW)
        open_gap(connection, "mqtt", OCTOBER.start, OCTOBER.end, "test")
        gap = platform.scalar("SELECT coalesce(max(id), 0) + 1 FROM gaps")
        gaps.accept(connection, gap, "maintenance", "a@cli", NOW)
    return project


def tampered(platform: Platform, table: str, statement: str) -> None:
    platform.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for part in statement.split(";"):
        platform.sql(part)


@pytest.mark.parametrize(
    ("table", "statement", "where", "law"),
    [
        (
            "adjustments",
            "UPDATE adjustments SET quantity = 7 WHERE id = 1",
            "adjustment 1",
            "adjustments are",
        ),
        (
            "adjustments",
            "UPDATE adjustments SET amount = -99 WHERE id = 2",
            "adjustment 2",
            "adjustments are",
        ),
        (
            "adjustments",
            "UPDATE adjustments SET reason = 'x' WHERE id = 2",
            "adjustment 2",
            "adjustments are",
        ),
        ("adjustments", "DELETE FROM adjustments WHERE id = 1", "adjustment 1", "adjustments are"),
        ("gaps", "UPDATE gaps SET accepted_by = 'nobody'", "gap 1", "gaps are accepted"),
        ("gaps", "UPDATE gaps SET starts_at = starts_at + interval '1 day'", "gap 1", "gaps are accepted"),
        ("gaps", "UPDATE gaps SET ends_at = ends_at - interval '1 day'", "gap 1", "gaps are accepted"),
        ("gaps", "UPDATE gaps SET project_ids = '{7}'", "gap 1", "gaps are accepted"),
        ("gaps", "DELETE FROM gaps", "gap 1", "gaps are accepted"),
        ("project_stats", "DELETE FROM project_stats", "lifetime", "lifetime ="),
        ("project_stats", "UPDATE project_stats SET logs = 1", "open months", "project_stats ="),
        ("daily_stats", "DELETE FROM daily_stats WHERE day = 15", "2026-10-15 12", "no counted hour"),
        ("daily_stats", f"UPDATE daily_stats SET device_count = 5; {REHASH}", "2026-10", "a closed month is"),
        ("daily_stats", "UPDATE daily_stats SET coverage = '{}'", "2026-10-15", "a sealed day is"),
        ("usage_hourly", "UPDATE usage_hourly SET mqtt_inbound = 1", "2026-10-15", "a day ="),
        ("monthly_stats", "DELETE FROM monthly_stats", "lifetime", "lifetime ="),
        ("monthly_stats", "UPDATE monthly_stats SET closed_by = 'x'", "2026-10", "a closed month is"),
        ("monthly_stats", "UPDATE monthly_stats SET days_present = 32", "2026-10", "a bill has no more days"),
        ("monthly_stats", "UPDATE monthly_stats SET days_present = -1", "2026-10", "a bill has no more days"),
        (
            "monthly_stats",
            "UPDATE monthly_stats SET adjustment_charge = -5, total_charge = total_charge - 5",
            "2026-10",
            "a bill has the adjustments",
        ),
    ],
)
def test_what_a_superuser_changed_is_named(
    engine: Engine, platform: Platform, table: str, statement: str, where: str, law: str
) -> None:
    decided(engine, platform)
    assert verify(engine).discrepancies == []
    tampered(platform, table, statement)
    broken_laws = [(discrepancy.law, discrepancy.period) for discrepancy in verify(engine).discrepancies]
    assert any(broken.startswith(law) and period.startswith(where) for broken, period in broken_laws), (
        broken_laws
    )


def exported(engine: Engine, folder: Path, kind: str) -> tuple[Path, Path]:
    months, days = folder / f"months.{kind}", folder / f"days.{kind}"
    export_month(engine, OCTOBER, months, kind)
    export_days(engine, OCTOBER, days, kind)
    return months, days


def another(value: Any, kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return f"{value}1"
    if pa.types.is_temporal(kind):
        return value + timedelta(days=1)
    return (value or 0) + 1


def changed(path: Path, name: str, row: int = 0) -> None:
    """Another value in one cell, and nothing else."""
    if path.suffix == ".parquet":
        table = parquet.read_table(path)
        rows = table.to_pylist()
        rows[row][name] = another(rows[row][name], table.schema.field(name).type)
        parquet.write_table(pa.Table.from_pylist(rows, table.schema), path)
        return
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        rows[row][name] = {"x": 1} if isinstance(rows[row][name], list | dict) else f"{rows[row][name]}1"
        path.write_text(json.dumps(rows))
        return
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    rows[row][name] = f"{rows[row][name]}1"
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_any_changed_cell_of_an_export_is_named(
    engine: Engine, platform: Platform, tmp_path: Path, kind: str
) -> None:
    closed_october(engine, platform)
    months, days = exported(engine, tmp_path, kind)
    assert offline.verify([months, days]) == ({"bills": 1, "days": 31}, [])
    bills, sealed = Export.for_month(OCTOBER), Export.for_days(OCTOBER.first, OCTOBER.last)
    for path, names in ((months, bills.names), (days, sealed.names)):
        whole = path.read_bytes()
        for name in names:
            changed(path, name)
            assert offline.verify([months, days])[1], f"{name} of {path.name}"
            path.write_bytes(whole)
    assert offline.verify([months, days])[1] == []


def test_a_row_given_twice_or_cut_short_is_named(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    closed_october(engine, platform)
    months, days = exported(engine, tmp_path, "csv")
    whole = days.read_text()
    days.write_text(whole + whole.splitlines()[1].replace("2026,10,1,", "2026,10,1,x") + "\n")
    assert "a second 2026-10-01 of project" in offline.verify([months, days])[1][0]
    days.write_text(whole.rsplit(",", 1)[0] + "\n")
    with pytest.raises(Exception, match="row 31 does not have the cells of the header"):
        offline.verify([days])


def test_a_bill_deleted_or_sealed_anew_shows_against_the_export(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    """Even of a project that used nothing, which no other law would miss."""
    (project,) = closed_october(engine, platform, inbound=0)
    months, days = exported(engine, tmp_path, "json")
    assert verify(engine, exported=[months, days]).sound
    tampered(platform, "monthly_stats", "DELETE FROM monthly_stats")
    assert verify(engine).sound
    (discrepancy,) = verify(engine, exported=[months, days]).discrepancies
    assert (discrepancy.project_id, discrepancy.period, discrepancy.found) == (
        project,
        "2026-10",
        "no such row",
    )
    tampered(platform, "daily_stats", f"UPDATE daily_stats SET device_count = 1 WHERE day = 3; {REHASH}")
    discrepancy = verify(engine, exported=[days]).discrepancies[-1]
    assert (discrepancy.law, discrepancy.period, discrepancy.meter) == (EXPORTED, "2026-10-03", "row_hash")


@pytest.mark.parametrize(
    ("currency", "digits", "fee"), [("JPY", 0, "3000"), ("BHD", 3, "29.125"), ("USD", 6, "1.5")]
)
def test_parquet_verifies_in_any_minor_unit(
    engine: Engine, platform: Platform, tmp_path: Path, currency: str, digits: int, fee: str
) -> None:
    """Its decimals always have six places, the seal those of the currency."""
    project = platform.project(platform.organization("pro"), created_at=OCTOBER.start)
    version = {"effective": "2026-01-01", "currency": currency, "minor_digits": digits}
    offered = Plans.model_validate({"versions": [version | {"tiers": {"pro": {"fee": fee}}}]})
    with transaction(engine) as connection:
        close_month(connection, OCTOBER, [project], offered, OCTOBER.end, "a@cli")
    months, days = exported(engine, tmp_path, "parquet")
    assert offline.verify([months, days]) == ({"bills": 1, "days": 31}, [])
    assert verify(engine, exported=[months, days]).sound
