"""A meter can be added: what was sealed before verifies for ever, and a changed cell in any form is named.

tests/data/form_1 was made by commit 934929c, which knew no forms: September of two projects closed,
October sealed up to the 15th, September exported and archived.
"""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from fleetmeter import schema
from metering.archive.restore import RestoredRows, restore_rows
from metering.catalogue import forms
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.months import adjustments
from metering.pricing import plans
from metering.proof import offline
from metering.proof.verify import verify
from tests.support.closed_months import close, export_month
from tests.support.platform import Platform

ROOT = Path(__file__).parents[3]
FORM_1 = ROOT / "tests" / "data" / "form_1"
SEPTEMBER = Month(2026, 9)
KINDS = ("csv", "json", "parquet")
NEXT_FORM = forms.NEWEST + 1  # of the meters that are added here
REVISION = "p1234567890l"  # the schema of commit 934929c


@pytest.fixture
def upgraded(empty_url: URL) -> Iterator[Engine]:
    """What commit 934929c sealed, upgraded to this schema."""
    engine = create_engine(empty_url, connect_args={"options": "-c timezone=UTC"})
    schema.migrate(engine, REVISION)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM audit_log"))
        connection.exec_driver_sql((FORM_1 / "sealed.sql").read_text())
        for name in ("sealed", "kept"):
            connection.execute(text(f"ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_{name}"))
    schema.migrate(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def extended(upgraded: Engine, tmp_path: Path) -> Engine:
    """October sealed in form 1 up to the 15th, in the newest up to the 20th, then in one with more meters."""
    with transaction(upgraded) as connection:
        seal_through(connection, Day(date(2026, 10, 20)), [1, 2], datetime(2026, 10, 21, tzinfo=UTC))
    more_meters("seal", upgraded, str(tmp_path))
    return upgraded


def more_meters(command: str, engine: Engine, *arguments: str) -> str:
    url = engine.url.render_as_string(hide_password=False)
    line = [sys.executable, "-m", "tests.support.more_meters", str(NEXT_FORM), command, url, *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def discrepancies(engine: Engine, *groups: tuple[Path, ...]) -> list[list[str]]:
    """What the code with more meters finds wrong in the database, and in each group of files."""
    arguments = (",".join(map(str, group)) for group in groups)
    broken: list[list[str]] = json.loads(more_meters("verify", engine, *arguments))
    return broken


CHANGED_DAYS = {
    "'2026-10-03'": "tier = 'pro'",
    "'2026-10-04'": """meters = '{"x": 1}'""",
    "'2026-10-05'": "camera_count = 1",
    "'2026-10-17'": """meters = '{"x": 1}'""",
    "'2026-10-18'": "form = 1",
    "'2026-10-19'": "form = 9",
    "'2026-10-25'": "camera_count = 9",
    "'2026-10-26'": f"form = {forms.NEWEST}",
}
CHANGED_BILLS = {
    "(1, 9)": "peak_camera_count = 1",
    "(2, 9)": "closed_by = 'x'",
    "(1, 10)": """meters = '{"x": 1}'""",
    "(2, 10)": "form = 1",
}


def tamper(engine: Engine, table: str, key: str, changes: Mapping[str, str]) -> None:
    """Change rows behind the triggers."""
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        for row, change in changes.items():
            connection.exec_driver_sql(f"UPDATE {table} SET {change} WHERE {key} = {row}")


def test_days_and_bills_of_every_form_verify_after_a_meter_was_added(
    extended: Engine, tmp_path: Path
) -> None:
    days = Platform(extended).rows("SELECT form, count(*) FROM daily_stats GROUP BY form ORDER BY form")
    assert [tuple(row) for row in days] == [(1, 21 + 30 + 2 * 15), (forms.NEWEST, 10), (NEXT_FORM, 22)]
    bills = Platform(extended).rows(
        "SELECT month, form, video_minutes, peak_camera_count FROM monthly_stats"
        " WHERE project_id = 1 ORDER BY month"
    )
    assert [tuple(row) for row in bills] == [(9, 1, 0, None), (10, NEXT_FORM, 70, 3)]
    groups = [(tmp_path / f"october.{kind}", tmp_path / "october-days.csv") for kind in KINDS]
    groups += [(FORM_1 / f"bills.{kind}", FORM_1 / "days.csv") for kind in KINDS]
    assert discrepancies(extended, *groups) == [[]] * 7


def test_explore_has_the_meters_that_were_added(extended: Engine) -> None:
    """The level is known; nobody has measured the source of the counter, so that it is not."""
    answers = more_meters("explore", extended).splitlines()
    assert [json.loads(line) for line in answers] == [{"camera_count": 3}] * 4


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_export_verifies_with_new_code(kind: str) -> None:
    result = offline.verify([FORM_1 / f"bills.{kind}", FORM_1 / "days.csv"])
    assert result == ({"bills": 2, "days": 81}, [])


def test_the_documented_script_takes_every_form(upgraded: Engine, tmp_path: Path) -> None:
    close(upgraded, [1, 2], SEPTEMBER.next())
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "proof.md").read_text(), re.DOTALL)
    (tmp_path / "seal.py").write_text(script)
    for month in (SEPTEMBER, SEPTEMBER.next()):
        export_month(upgraded, month, tmp_path / "bills.csv")
        command = [sys.executable, "-I", str(tmp_path / "seal.py"), str(tmp_path / "bills.csv")]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert [line.rpartition(" ")[2] for line in output.splitlines()] == ["True", "True"], month


def test_a_changed_cell_in_any_form_is_named(extended: Engine) -> None:
    tamper(extended, "daily_stats", "project_id = 1 AND date", CHANGED_DAYS)
    tamper(extended, "monthly_stats", "(project_id, month)", CHANGED_BILLS)
    laws = ("a sealed day is as it was sealed", "a closed month is as it was sealed")
    (broken,) = discrepancies(extended)
    for place in (*(day.strip("'") for day in CHANGED_DAYS), "2026-09", "2026-10"):
        assert any(sentence.startswith(laws) and f", {place}," in sentence for sentence in broken), place


def test_a_changed_cell_of_a_file_is_named(extended: Engine, tmp_path: Path) -> None:
    copies = {}
    for path, place in ((FORM_1 / "bills.csv", "2026-09"), (tmp_path / "october.csv", "2026-10")):
        with path.open(newline="") as stream:
            header, *rows = list(csv.reader(stream))
        for column in {"mqtt_inbound", "form", "meters", "video_minutes", "closed_by"} & set(header):
            changed = [list(row) for row in rows]
            changed[0][header.index(column)] = "7"
            copy = tmp_path / f"{place}-{column}.csv"
            copies[copy] = f"project 1, {place}"
            with copy.open("w", newline="") as stream:
                csv.writer(stream).writerows([header, *changed])
    _, *broken = discrepancies(extended, *((copy,) for copy in copies))
    for (copy, place), sentences in zip(copies.items(), broken, strict=True):
        assert any(place in sentence for sentence in sentences), copy


def test_a_file_of_a_newer_form_is_one_sentence(extended: Engine, tmp_path: Path) -> None:
    broken = offline.verify([tmp_path / "october.csv"])[1]
    assert any(
        f"form {NEXT_FORM} is not known to this version of Fleetmeter" in sentence for sentence in broken
    )


def test_an_old_archive_is_restored(upgraded: Engine, tmp_path: Path) -> None:
    before = Platform(upgraded).rows("SELECT * FROM daily_stats ORDER BY project_id, date")
    platform = Platform(upgraded)
    platform.sql("ALTER TABLE daily_stats DISABLE TRIGGER USER")
    platform.sql("ALTER TABLE daily_stats_default DISABLE TRIGGER USER")
    platform.sql("DELETE FROM daily_stats WHERE month = 9 AND day > 7")
    folder = tmp_path / "archive"
    shutil.copytree(FORM_1 / "archive", folder)
    with transaction(upgraded) as connection:
        restored = restore_rows(connection, SEPTEMBER, folder, "a@cli", datetime(2026, 11, 24, tzinfo=UTC))
    assert restored == RestoredRows(days=44)
    assert platform.rows("SELECT * FROM daily_stats ORDER BY project_id, date") == before
    assert verify(upgraded).discrepancies == []


def test_corrections_of_before_keep_their_rule(upgraded: Engine) -> None:
    """100,000 messages less about September are less in October's bill; -7.255 is rounded there."""
    platform, october = Platform(upgraded), SEPTEMBER.next()
    close(upgraded, [1, 2], october)
    query = """SELECT mqtt_inbound, adjustment_charge::text, total_charge::text FROM monthly_stats
        WHERE project_id = 1 AND month = 10"""
    assert [tuple(row) for row in platform.rows(query)] == [(805_000, "-7.26", "21.74")]
    in_november = datetime(2026, 11, 24, tzinfo=UTC)
    for number in (1, 2):
        with transaction(upgraded) as connection:
            adjustments.reverse(connection, 1, number, "it was right", "a@cli", plans.load(None), in_november)
    reversals = platform.rows(
        "SELECT quantity, amount::text, currency, usage_date FROM adjustments WHERE id > 2 ORDER BY id"
    )
    assert [tuple(row) for row in reversals] == [
        (100_000, "0.00", "USD", date(2026, 10, 1)),
        (None, "7.26", "USD", date(2026, 9, 12)),
    ]
    close(upgraded, [1, 2], october.next())
    assert verify(upgraded).discrepancies == []
