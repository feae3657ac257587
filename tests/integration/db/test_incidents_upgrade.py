"""Alerts that are open when a database is upgraded become incidents: one row for each cause."""

from sqlalchemy import URL, text

from fleetmeter import schema
from metering.db.engine import engine_of

BEFORE = "va27112026a1"
ROWS = """
INSERT INTO alerts (kind, severity, project_id, subject, detail, opened_at, acknowledged_by)
SELECT 'limit', 'warning', 7, 'logs ' || p || ' % 2026-11',
    jsonb_build_object('meter', 'logs', 'month', '2026-11', 'percent', p), now(), NULL
FROM unnest(ARRAY[80, 100]) p
UNION ALL
SELECT 'anomaly', 'warning', 7, m || ' 2026-11-22', jsonb_build_object('meter', m, 'date', '2026-11-22',
    'actual', a, 'expected_low', 1, 'expected_high', 2), now(), w
FROM (VALUES ('logs', 9, 'ada'), ('sessions', 90, NULL)) AS v (m, a, w)
"""


def test_open_alerts_of_one_cause_become_one(empty_url: URL) -> None:
    engine = engine_of(empty_url)
    schema.migrate(engine, BEFORE)
    with engine.begin() as connection:
        connection.execute(text(ROWS))
    schema.migrate(engine)
    with engine.connect() as connection:
        rows = connection.execute(
            text("""SELECT subject, acknowledged_by, detail->'percent', detail->>'meter',
                jsonb_array_length(history), jsonb_array_length(detail->'meters')
                FROM alerts WHERE resolved_at IS NULL ORDER BY kind DESC""")
        ).all()
    assert rows == [
        ("logs 2026-11", None, 100, "logs", 1, None),
        ("2026-11-22", "ada", None, "sessions", 1, 2),
    ]
    engine.dispose()
