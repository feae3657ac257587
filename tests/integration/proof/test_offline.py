"""Proof: an exported month verifies with its file alone, and shows what was changed since."""

import csv
import re
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from metering.db.transactions import read_snapshot, transaction
from metering.errors import PlanError
from metering.exports import manifest
from metering.exports.columns import MONEY
from metering.exports.csv_format import Style
from metering.exports.export import Export
from metering.exports.write import write
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months import adjustments, explain
from metering.months.adjustment import Adjustment
from metering.months.close import SEAL
from metering.pricing import plans
from metering.proof import offline
from metering.proof.verify import EXPORTED, RATED, verify
from tests.support.closed_months import MID_OCTOBER, OCTOBER, close, closed_october, export_days, export_month
from tests.support.platform import Platform

PROOF = Path(__file__).parents[3] / "docs" / "proof.md"


def exported(engine: Engine, folder: Path, style: Style | None = None) -> tuple[Path, Path]:
    months, days = folder / "months.csv", folder / "days.csv"
    style = style or Style()
    export_month(engine, OCTOBER, months, style=style)
    export_days(engine, OCTOBER, days, style=style)
    return months, days


def verify_files(*paths: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "metering.offline", *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("style", [Style(), Style(";", ",", bom=True), Style("\t")])
def test_an_exported_month_verifies_offline(
    engine: Engine, platform: Platform, tmp_path: Path, style: Style
) -> None:
    closed_october(engine, platform, projects=2)
    months, days = exported(engine, tmp_path, style)
    assert offline.verify([months]) == ({"bills": 2, "days": 0}, [])
    assert offline.verify([months, days]) == ({"bills": 2, "days": 62}, [])


def test_the_documented_script_computes_the_same_hashes(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    """The ten lines of docs/proof.md, which import nothing of ours."""
    (project,) = closed_october(engine, platform)
    close(engine, [project], OCTOBER.next())
    months = tmp_path / "months.csv"
    export_month(engine, OCTOBER.next(), months)
    (script,) = re.findall(r"```python\n(.*?)```", PROOF.read_text(), re.S)
    assert len([line for line in script.splitlines() if line and not line.startswith("#")]) <= 13
    (tmp_path / "seal.py").write_text(script)
    command = [sys.executable, "-I", str(tmp_path / "seal.py"), str(months)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    ((seal,),) = platform.rows("SELECT seal FROM monthly_stats WHERE month = 11")
    assert result.stdout == f"{project} {seal} True\n"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",1500000,", ",1400000,", "the month is not as it was sealed"),
        ('""charge"":""1.00""', '""charge"":""0.10""', "the bill does not add up"),
        (',"operator@cli",', ',"nobody@cli",', "the month is not as it was sealed"),
        (",30.00,", ",3.00,", "the bill does not add up"),
    ],
)
def test_a_changed_bill_shows(
    engine: Engine, platform: Platform, tmp_path: Path, old: str, new: str, says: str
) -> None:
    closed_october(engine, platform)
    months, _ = exported(engine, tmp_path)
    content = months.read_text()
    assert old in content
    months.write_text(content.replace(old, new, 1))
    result = verify_files(months)
    assert result.returncode == 1
    assert says in result.stdout


def resaved(path: Path, cell: Callable[[str, str], str], **more: str) -> None:
    """Write the CSV again as another program does: `cell` gives its spelling of a column's value."""
    with path.open(newline="", encoding="utf-8") as stream:
        rows = [{name: cell(name, value) for name, value in row.items()} for row in csv.DictReader(stream)]
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, [*rows[0], *more])
        writer.writeheader()
        writer.writerows([row | more for row in rows])


def as_spreadsheet(name: str, value: str) -> str:
    """100.00 becomes 100, 29.50 becomes 29.5; a date is in another country's order."""
    if name in MONEY:
        return f"{Decimal(value).normalize():f}"
    return f"{value[8:]}/{value[5:7]}/{value[:4]}" if name == "date" else value


def as_pandas(name: str, value: str) -> str:
    """Whole numbers of a column with gaps become floats."""
    return f"{value}.0" if value and name.startswith(("peak_", "device_count", "mqtt_")) else value


def as_pandas_with_a_comma(name: str, value: str) -> str:
    """The same with `decimal=","`, for spreadsheets of another locale."""
    return as_pandas(name, value).replace(".", ",") if name.startswith(("peak_", "mqtt_")) else value


@pytest.mark.parametrize("cell", [as_spreadsheet, as_pandas, as_pandas_with_a_comma])
def test_a_file_that_another_program_saved_again_verifies(
    engine: Engine, platform: Platform, tmp_path: Path, cell: Callable[[str, str], str]
) -> None:
    closed_october(engine, platform, projects=2)
    months, days = exported(engine, tmp_path)
    before = months.read_text()
    resaved(months, cell)
    resaved(days, cell)
    assert months.read_text() != before
    assert offline.verify([months, days]) == ({"bills": 2, "days": 62}, [])
    months.write_text(months.read_text().replace("1500000", "1500001", 1))
    assert "project 1, 2026-10: the month is not as it was sealed" in offline.verify([months])[1][0]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_a_file_in_another_encoding_verifies(
    engine: Engine, platform: Platform, tmp_path: Path, encoding: str
) -> None:
    closed_october(engine, platform)
    platform.sql("UPDATE projects SET name = 'Zürich; =1'")
    months, _ = exported(engine, tmp_path)
    months.write_bytes(months.read_text("utf-8").encode(encoding))
    assert offline.verify([months]) == ({"bills": 1, "days": 0}, [])


def test_a_workbook_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "bills.xlsx"
    path.write_bytes(b"PK\x03\x04 and so on")
    result = verify_files(path)
    assert (result.returncode, "save its sheet as CSV" in result.stderr) == (2, True)


def test_a_column_of_somebody_else_is_named(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    closed_october(engine, platform, projects=2)
    months, _ = exported(engine, tmp_path)
    resaved(months, lambda name, value: value, cost_centre="42")
    assert offline.verify([months])[1] == ["months.csv: the column cost_centre is not part of the export"]


def test_a_changed_name_is_told_from_a_changed_bill(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    closed_october(engine, platform)
    months, _ = exported(engine, tmp_path)
    resaved(months, lambda name, value: "Other" if name == "project_name" else value)
    (sentence,) = offline.verify([months])[1]
    assert sentence.startswith("project 1, 2026-10: the row is not as it was exported")
    assert "outside the seal" in sentence


def test_a_row_that_was_removed_shows_against_the_manifest(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    closed_october(engine, platform, projects=3)
    months, _ = exported(engine, tmp_path)
    with read_snapshot(engine) as connection:
        contents = write(connection, Export.for_month(OCTOBER), output=months)
    manifest.save(months, contents)
    assert offline.examine([months]).notes == []
    resaved(months, as_spreadsheet)
    assert offline.examine([months]).discrepancies == []
    lines = months.read_text().splitlines(keepends=True)
    months.write_text("".join(lines[:-1]))
    assert offline.verify([months])[1] == [
        "months.csv holds 2 rows, but its manifest says 3",
        "months.csv: the total in USD is 60.00, but its manifest says 90.00",
    ]
    months.write_text("".join([*lines, lines[-1]]))
    assert "the same row stands twice" in offline.verify([months])[1][0]


def test_without_a_manifest_a_removed_row_is_said_to_be_unknown(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    closed_october(engine, platform, projects=2)
    months, _ = exported(engine, tmp_path)
    months.write_text("".join(months.read_text().splitlines(keepends=True)[:-1]))
    result = verify_files(months)
    assert result.returncode == 0
    assert "has no manifest beside it: whether a row is missing is unknown" in result.stdout


def test_a_changed_day_and_an_exchanged_day_show(engine: Engine, platform: Platform, tmp_path: Path) -> None:
    closed_october(engine, platform)
    months, days = exported(engine, tmp_path)
    lines = days.read_text().splitlines(keepends=True)
    days.write_text("".join(lines).replace(",1500000,", ",1,"))
    assert "2026-10-15: the day is not as it was sealed" in verify_files(months, days).stdout
    days.write_text("".join(lines[:-1]))
    assert "not the days that it was made of" in verify_files(months, days).stdout


def test_a_superusers_edit_shows_against_an_export(
    engine: Engine, platform: Platform, tmp_path: Path
) -> None:
    """Whoever rewrites a bill and its seal in the database breaks the seal that finance has."""
    (project,) = closed_october(engine, platform)
    months_file, _ = exported(engine, tmp_path)
    platform.sql(
        f"""ALTER TABLE monthly_stats DISABLE TRIGGER USER;
        UPDATE monthly_stats SET plan_fee = 0.01, total_charge = 1.01;
        UPDATE monthly_stats b SET seal = {SEAL} FROM (
            SELECT string_agg(row_hash, E'\\n' ORDER BY date) AS hashes FROM daily_stats) days"""
    )
    laws = {discrepancy.law for discrepancy in verify(engine).discrepancies}
    assert laws == {RATED}, "every hash agrees again; only the stored plan gives another fee"
    (rewritten,) = (
        each for each in verify(engine, exported=[months_file]).discrepancies if each.law != RATED
    )
    assert (rewritten.law, rewritten.project_id, rewritten.period) == (EXPORTED, project, "2026-10")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no rows"),
        (b"a,b\n1,2\n", "not an export"),
        (b"\xff\xfe\n", "UTF-8"),
        (b"[1]", "array of objects"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_export_is_one_sentence(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "file.csv"
    if content is not None:
        path.write_bytes(content)
    result = verify_files(path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_bill_that_another_rating_does_not_give_is_named(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    assert verify(engine).checked[RATED] == 1
    assert verify(engine).sound
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("ALTER TABLE monthly_stats DISABLE TRIGGER USER"))
        connection.execute(
            text(
                "UPDATE monthly_stats SET overage_charge = overage_charge - 1,"
                " total_charge = total_charge - 1"
            )
        )
    discrepancies = [d for d in verify(engine).discrepancies if d.law == RATED]
    assert [(d.meter, d.expected, d.found) for d in discrepancies] == [("overage_charge", "1.00", "0.00")]


def test_a_plan_version_that_was_edited_is_named(engine: Engine, platform: Platform) -> None:
    closed_october(engine, platform)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE plan_versions DISABLE TRIGGER USER"))
        connection.execute(
            text("""UPDATE plan_versions SET content = jsonb_set(content, '{tiers,starter,fee}', '"1"')""")
        )
    names = {d.meter for d in verify(engine).discrepancies if d.law == RATED}
    assert names == {"hash", "plan_fee"}


def test_a_plan_version_that_is_none_any_more_is_named(engine: Engine, platform: Platform) -> None:
    (project,) = closed_october(engine, platform)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE plan_versions DISABLE TRIGGER USER"))
        connection.execute(text("UPDATE plan_versions SET content = '{}'"))
    names = {d.meter for d in verify(engine).discrepancies if d.law == RATED}
    assert names == {"content", "plan_version"}
    with engine.connect() as connection, pytest.raises(PlanError, match="it was rewritten"):
        explain.explain(connection, project, OCTOBER)


def test_a_bill_of_many_lines_is_rated_again_to_the_same_bytes(engine: Engine, platform: Platform) -> None:
    """The stored plan's keys come back in another order than the file's."""
    organization = platform.organization("starter")
    project = platform.project(organization, created_at=OCTOBER.start)
    usage = {(organization, project): MqttUsage(1_500_000, 700_000, 0, 0, "topic")}
    with transaction(engine) as connection:
        add_mqtt(connection, usage, MID_OCTOBER)
        about = Adjustment(project, "logs", 900_000, None, MID_OCTOBER.date(), "late", "a@cli")
        adjustments.post(connection, about, plans.load(None), MID_OCTOBER)
    close(engine, [project])
    assert platform.scalar("SELECT jsonb_array_length(exceeded_limits) FROM monthly_stats") == 3
    assert verify(engine).discrepancies == []
    with engine.connect() as connection:
        assert explain.explain(connection, project, OCTOBER).agrees
