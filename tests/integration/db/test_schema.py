"""Migrations: from empty, beside a platform, down and up again, two at once, refused by name."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, Engine, create_engine, text

from fleetmeter import schema
from metering.db.schema_head import HEAD
from metering.db.tables import OWN_TABLES
from metering.errors import SchemaError


@pytest.fixture
def empty(empty_url: URL) -> Iterator[Engine]:
    engine = create_engine(empty_url, connect_args={"options": "-c timezone=UTC"})
    yield engine
    engine.dispose()


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def tables(engine: Engine) -> set[str]:
    with engine.connect() as connection:
        return set(connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))


def test_up_down_and_up_again(empty: Engine) -> None:
    assert schema.migrate(empty) == HEAD == schema.revisions()[0].revision
    assert set(OWN_TABLES) < tables(empty)
    schema.downgrade(empty)
    assert not set(OWN_TABLES) & tables(empty)
    assert "projects" in tables(empty), "the platform's tables are never taken away"
    schema.migrate(empty)
    schema.require_head(empty)


def test_the_models_and_the_migrations_agree(engine: Engine) -> None:
    schema.check(engine)


def test_the_two_named_revisions_create_the_two_named_tables() -> None:
    named = {revision.revision: revision.path for revision in schema.revisions()}
    assert named["i7890123456g"].endswith("20251108_create_monthly_stats.py")
    assert named["j8901234567h"].endswith("20251108_create_daily_stats.py")


def test_a_platform_that_has_its_tables_keeps_them_as_they_are(empty: Engine) -> None:
    execute(
        empty,
        """
        CREATE TABLE organizations (id bigint PRIMARY KEY, name text, tier text, created_at timestamptz,
            extra text);
        CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint, name text, is_active boolean,
            created_at timestamptz, deactivated_at timestamptz);
        CREATE TABLE alembic_version (version_num text);
        INSERT INTO alembic_version VALUES ('the-platforms-own')""",
    )
    schema.migrate(empty)
    with empty.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "the-platforms-own"
        assert connection.execute(text("SELECT extra FROM organizations")).all() == []


@pytest.mark.parametrize("name", ["daily_stats", "usage_hourly", "job_runs"])
def test_a_foreign_table_of_our_name_is_refused_by_name_and_kept(empty: Engine, name: str) -> None:
    execute(empty, f"CREATE TABLE {name} (mine text); INSERT INTO {name} VALUES ('precious')")
    with pytest.raises(SchemaError, match=name):
        schema.migrate(empty)
    with empty.connect() as connection:
        assert connection.scalar(text(f"SELECT mine FROM {name}")) == "precious"
    assert tables(empty) == {name}


def test_a_platform_table_without_a_needed_column_is_named(empty: Engine) -> None:
    execute(empty, "CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint, name text)")
    with pytest.raises(SchemaError, match="projects lacks is_active, created_at, deactivated_at"):
        schema.migrate(empty)


MIGRATE = (
    "import sys, sqlalchemy, fleetmeter.schema as s; print(s.migrate(sqlalchemy.create_engine(sys.argv[1])))"
)


def test_two_processes_migrating_at_once_both_succeed(empty: Engine) -> None:
    command = [sys.executable, "-c", MIGRATE, empty.url.render_as_string(hide_password=False)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [process.communicate(timeout=60)[0].strip() for process in started] == [HEAD] * 3


def test_a_database_that_is_not_at_head_is_refused_with_the_command_that_helps(empty: Engine) -> None:
    with pytest.raises(SchemaError, match="fleetmeter migrate"):
        schema.require_head(empty)


def test_a_database_that_is_newer_than_the_code_says_that_the_code_is_older(empty: Engine) -> None:
    schema.migrate(empty)
    execute(empty, "UPDATE fleetmeter_version SET version_num = 'z9999999999z'")
    with pytest.raises(SchemaError, match="the database is newer"):
        schema.require_head(empty)


def test_failures_and_gaps_recorded_before_they_had_a_kind_keep_their_reading(empty: Engine) -> None:
    schema.migrate(empty, "q2345678901m")
    execute(empty, "INSERT INTO organizations (id, name) OVERRIDING SYSTEM VALUE VALUES (1, 'o')")
    execute(
        empty, "INSERT INTO projects (id, organization_id, name) OVERRIDING SYSTEM VALUE VALUES (1, 1, 'p')"
    )
    reasons = ("access denied to x", "AWS answered 500", "logs: permission denied for table logs")
    for hour, (source, reason) in enumerate(zip(("s3", "ecr", "platform_db"), reasons, strict=True)):
        execute(
            empty,
            f"""INSERT INTO usage_hourly (project_id, hour, measured)
                VALUES (1, '2026-11-01 0{hour}:00Z', '{{"{source}_failed": "{reason}", "other": 1}}')""",
        )
    for reason in ("not read since", "the broker lost the session", "x"):
        execute(empty, f"INSERT INTO gaps (source, starts_at, reason) VALUES ('mqtt', now(), '{reason}')")
    before = "SELECT measured FROM usage_hourly ORDER BY hour"
    with empty.connect() as connection:
        recorded = list(connection.scalars(text(before)))
    schema.migrate(empty)
    with empty.connect() as connection:
        kinds = [
            {key: value["kind"] for key, value in measured.items() if key != "other"}
            for measured in connection.scalars(text(before))
        ]
        of_gaps = list(connection.scalars(text("SELECT kind FROM gaps ORDER BY id")))
    assert of_gaps == ["silent", "session_lost", "other"]
    assert kinds == [{"s3_failed": "denied"}, {"ecr_failed": "failed"}, {"platform_db_failed": "denied"}]
    schema.downgrade(empty, "q2345678901m")
    with empty.connect() as connection:
        assert list(connection.scalars(text(before))) == recorded


def test_the_history_of_the_catalogue_begins_with_what_earlier_versions_knew(empty: Engine) -> None:
    schema.migrate(empty, "q2345678901m")
    execute(
        empty,
        """
        INSERT INTO organizations (id, name, tier, created_at) VALUES (1, 'A', 'pro', '2026-01-01Z'),
            (2, 'B', 'free', '2026-01-01Z');
        INSERT INTO projects (id, organization_id, name, is_active, created_at, deactivated_at) VALUES
            (1, 2, 'moved', true, '2026-01-01Z', NULL),
            (2, 1, 'dated', false, '2026-01-01Z', '2026-10-10T05:00Z'),
            (3, 1, 'undated', false, '2026-01-01Z', NULL),
            (4, 1, 'never used', false, '2026-01-01T05:00Z', NULL);
        INSERT INTO tiers_seen VALUES (1, '2026-10-01Z', '2026-10-09Z', 'free'),
            (1, '2026-10-11Z', '2026-10-12Z', 'pro');
        INSERT INTO usage_hourly (project_id, hour, logs) VALUES (3, '2026-10-03T22:00Z', 1),
            (3, '2026-10-04T22:00Z', 0);
        INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, tier, coverage,
            row_hash) VALUES (1, '2026-10-01', 1, 2026, 10, 1, 'free', '{}', ''),
            (1, '2026-10-02', 1, 2026, 10, 2, 'free', '{}', ''),
            (1, '2026-10-03', 2, 2026, 10, 3, 'free', '{}', '')""",
    )
    schema.migrate(empty)
    with empty.connect() as connection:
        tiers = connection.execute(text("SELECT read_from::date::text, tier FROM organization_tiers"))
        assert sorted(map(tuple, tiers)) == [("2026-10-01", "free"), ("2026-10-11", "pro")]
        owners = connection.execute(text("SELECT read_from::date::text, organization_id FROM project_owners"))
        assert sorted(map(tuple, owners)) == [("2026-10-01", 1), ("2026-10-03", 2)]
        pauses = connection.execute(text("SELECT project_id, off_from::text FROM project_pauses"))
        assert sorted(map(tuple, pauses)) == [(2, "2026-10-11"), (3, "2026-10-04"), (4, "2026-01-02")]
    schema.downgrade(empty, "q2345678901m")
    with empty.connect() as connection:
        readings = connection.execute(text("SELECT seen_from::date::text, tier FROM tiers_seen"))
        assert sorted(map(tuple, readings)) == [("2026-10-01", "free"), ("2026-10-11", "pro")]
