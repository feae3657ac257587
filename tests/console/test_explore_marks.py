"""Explore marks notes and, by day, how many deployments there were."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from console.data.transactions import read_transaction_as
from console.views.explore import answers, figures
from console.views.explore.parser import parse
from tests.support.fleet import Fleet
from tests.support.platform import Platform


def test_notes_and_deployments_are_marks_of_the_chart(engine: Engine, fleet: Fleet) -> None:
    platform, today = Platform(engine), datetime.now(UTC).date()
    day = today - timedelta(days=2)
    platform.sql(
        """INSERT INTO annotations (first, last, kind, text, author)
        VALUES (:day, :day, 'incident', 'The broker was down', 'ann')""",
        day=day,
    )
    platform.sql("UPDATE project_stats SET platform_db_measured_at = now()")
    platform.sql(
        "UPDATE usage_hourly SET deployments = 3 WHERE hour >= :day AND project_id = ANY(:two)",
        day=today,
        two=list(fleet.projects[:2]),
    )
    for grain, where, label in (
        ("day", "", "6 deployments"),
        ("day", f"project:{fleet.projects[0]}", "3 deployments"),
        ("week", "", None),
    ):
        state, problems = parse({"by": "project", "where": where, "as": "area", "grain": grain}, today)
        assert problems == []
        with read_transaction_as(None) as page:
            result = answers.read(page.connection, state, page.at)
        marks = {trace.name: trace for trace in figures.build(result, "area", "r").data}
        assert list(marks["Incident"].x) == [str(day)]
        assert "The broker was down" in marks["Incident"].customdata[0]
        if label is None:
            assert "Deployments" not in marks
        else:
            assert list(marks["Deployments"].x) == [today]
            assert list(marks["Deployments"].customdata) == [label]
