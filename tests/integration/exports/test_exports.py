"""Exports: the same rows as the database, whole, streamed, and harmless."""

import csv
import io
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from pyarrow import parquet
from sqlalchemy import Engine, text

from metering.errors import FleetmeterError
from metering.exports import csv_format
from metering.exports.export import Export
from metering.exports.parquet import schema
from metering.months.close import close_month
from metering.pricing import plans
from metering.proof import offline
from tests.support.closed_months import OCTOBER, closed_october, count, export_days, export_month
from tests.support.platform import Platform
from tests.support.until import until


def test_a_month_is_one_header_and_one_row_a_project(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    projects = closed_october(engine, platform, projects=3)
    output = tmp_path / "bills.csv"
    assert export_month(engine, OCTOBER, output) == 3
    lines = output.read_text().splitlines()
    assert lines[0] == ",".join(Export.for_month(OCTOBER).names)
    rows = list(csv.DictReader(lines))
    assert [int(row["project_id"]) for row in rows] == projects
    assert rows[0]["total_charge"] == "30.00"
    assert rows[0]["peak_device_count"] == "", "unknown is empty, not zero"
    assert len(rows[0]["day_hashes"].split()) == 31
    assert list(tmp_path.iterdir()) == [output], "nothing half-written stays"


def test_the_days_of_a_month(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    closed_october(engine, platform)
    output = tmp_path / "days.csv"
    assert export_days(engine, OCTOBER, output) == 31
    rows = list(csv.DictReader(output.open()))
    assert tuple(rows[0]) == Export.for_days(OCTOBER.first, OCTOBER.last).names
    assert [row["date"] for row in rows][::30] == ["2026-10-01", "2026-10-31"]
    assert sum(int(row["mqtt_inbound"]) for row in rows) == 1_500_000


def test_a_close_between_the_rows_and_the_notice_changes_neither(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    """The notice waits for the lock on gaps; the close commits meanwhile, and the notice is of before it."""
    closed_october(engine, platform)
    organization = platform.organization("starter")
    late = platform.project(organization, created_at=OCTOBER.start)
    count(engine, organization, late, 5)
    output = tmp_path / "bills.csv"
    command = [sys.executable, "-m", "fleetmeter.cli", "export", "monthly", "--month", "2026-10"]
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE gaps"))
        with subprocess.Popen(
            [*command, "--output", str(output)], stderr=subprocess.PIPE, text=True
        ) as child:
            until(lambda: output.exists() or child.poll() is not None)
            assert child.poll() is None
            close_month(connection, OCTOBER, [late], plans.load(None), OCTOBER.end, "operator@cli")
            connection.commit()
            _, notice = child.communicate(timeout=60)
    assert len(output.read_text().splitlines()) == 2
    assert "2026-10: 1 without a bill yet, and so without a row" in notice
    assert f"project {late}: open, over, not closed yet" in notice
    assert offline.examine([output]).notes == [], "its manifest is beside it"


def test_parquet_holds_the_same_with_types(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    closed_october(engine, platform)
    output = tmp_path / "bills.parquet"
    export_month(engine, OCTOBER, output, "parquet")
    table = parquet.read_table(output)
    assert tuple(table.column_names) == Export.for_month(OCTOBER).names
    (row,) = table.to_pylist()
    assert (row["total_charge"], row["mqtt_inbound"]) == (Decimal("30.00"), 1_500_000)
    assert row["peak_device_count"] is None
    export_days(engine, OCTOBER, tmp_path / "days.parquet", "parquet")
    assert parquet.read_table(tmp_path / "days.parquet").num_rows == 31


def test_a_month_without_bills_has_its_header_and_types(engine: Engine, tmp_path: Path) -> None:
    for name in ("csv", "parquet"):
        assert export_month(engine, OCTOBER, tmp_path / name, name) == 0
    assert (tmp_path / "csv").read_text() == ",".join(Export.for_month(OCTOBER).names) + "\n"
    assert parquet.read_schema(tmp_path / "parquet").equals(schema(Export.for_month(OCTOBER).columns))


def test_a_hostile_name_is_harmless(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    platform.sql("UPDATE projects SET name = '=cmd|'' /C calc''!A0'")
    platform.sql("UPDATE organizations SET name = E'\\tAcme, \"Inc\"\\n'")
    stream, export = io.StringIO(), Export.for_month(OCTOBER)
    with engine.connect() as connection:
        csv_format.write(export.rows(connection), export.names, stream)
    (row,) = csv.DictReader(io.StringIO(stream.getvalue(), newline=""))
    assert row["project_name"].startswith("'=cmd")
    assert row["organization_name"].startswith("'\t")


@pytest.mark.parametrize(
    ("file_format", "name", "says"),
    [
        ("xlsx", "bills.xlsx", "csv, json, parquet"),
        ("parquet", None, "--output"),
        ("csv", "missing/folder/bills.csv", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(
    engine: Engine, tmp_path: Path, file_format: str, name: str | None, says: str
) -> None:
    with pytest.raises(FleetmeterError, match=says):
        export_month(engine, OCTOBER, tmp_path / name if name else None, file_format)
