"""Fleetmeter with a counter and a gauge more: `python -m tests.support.more_meters FORM …`.

FORM is the number of their form. `seal URL FOLDER` adds their columns, counts them, seals and closes
October and exports it to FOLDER; `verify URL FILE,FILE ...` prints a JSON array: the discrepancies of the
database, then those of each group of files. `explore URL` prints what Explore says of both in October, by
organization.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

from sqlalchemy import create_engine, text

COUNTER = 'Counter("video_minutes", "count", "platform_db", "Video minutes", since={form}),'
GAUGE = 'Gauge("camera_count", "current_cameras", "count", "platform_db", "Cameras", since={form}),'
COLUMNS = """
    ALTER TABLE usage_hourly ADD video_minutes bigint NOT NULL DEFAULT 0, ADD camera_count bigint;
    ALTER TABLE project_stats ADD video_minutes bigint NOT NULL DEFAULT 0,
        ADD lifetime_video_minutes bigint NOT NULL DEFAULT 0, ADD current_cameras bigint;
    ALTER TABLE daily_stats ADD video_minutes bigint NOT NULL DEFAULT 0, ADD camera_count bigint;
    ALTER TABLE monthly_stats ADD video_minutes bigint NOT NULL DEFAULT 0, ADD peak_camera_count bigint"""
USAGE = """
    UPDATE project_stats SET video_minutes = video_minutes + 70 WHERE project_id = 1;
    INSERT INTO usage_hourly (project_id, hour, video_minutes, camera_count)
        VALUES (1, '2026-10-25 06:00Z', 70, 3)"""


def extend_catalogue(form: str) -> ModuleType:
    """Import the catalogue's source with two meters more.

    Call it before anything else imports the catalogue. `form` is the number of the meters' form.
    """
    spec = importlib.util.find_spec("metering.catalogue.meters")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).read_text()
    for start, line in (
        ("COUNTERS: tuple[Counter, ...] = (", COUNTER),
        ("GAUGES: tuple[Gauge, ...] = (", GAUGE),
    ):
        assert start in source
        source = source.replace(start, f"{start}\n    {line.format(form=form)}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    exec(compile(source, spec.origin, "exec"), module.__dict__)  # noqa: S102 - our own file
    return module


def seal(url: str, folder: Path) -> None:
    from metering.catalogue.periods import Month
    from migrations import summaries
    from tests.support.closed_months import close, export_days, export_month

    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
    october = Month(2026, 10)
    with engine.begin() as connection:
        connection.execute(text(COLUMNS))
        summaries.add(connection, "video_minutes", "camera_count")
        connection.execute(text(USAGE))
    close(engine, [1, 2], october)
    for file_format in ("csv", "json", "parquet"):
        export_month(engine, october, folder / f"october.{file_format}", file_format)
    export_days(engine, october, folder / "october-days.csv")


def verify(url: str, groups: list[list[Path]]) -> None:
    from metering.proof import offline, verify

    engine = create_engine(url, connect_args={"options": "-c timezone=UTC"})
    report = verify.verify(engine)
    print(json.dumps([list(map(str, report.discrepancies)), *(offline.verify(files)[1] for files in groups)]))


def explore(url: str) -> None:
    from datetime import date

    from console.data.explore import days
    from console.data.explore.measures import catalogue
    from console.data.explore.question import Filters, Question

    measures = tuple(catalogue()[name] for name in ("video_minutes", "camera_count"))
    for by in ("organization", "project", "tier", "none"):
        question = Question(measures, by, 5, Filters(), date(2026, 10, 1), date(2026, 10, 31), "month")  # type: ignore[arg-type]
        with create_engine(url).connect() as connection:
            frame = days.read(connection, question, date(2026, 11, 20)).frame
        known_rows = frame[frame["value"].notna()]
        print(json.dumps(known_rows.groupby("measure")["value"].sum().astype(int).to_dict()))


if __name__ == "__main__":
    form, command, url, *arguments = sys.argv[1:]
    extend_catalogue(form)
    if command == "seal":
        seal(url, Path(arguments[0]))
    elif command == "explore":
        explore(url)
    else:
        verify(url, [[Path(name) for name in group.split(",")] for group in arguments])
