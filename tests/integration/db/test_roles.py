"""The roles of deploy/roles/: each process works under its own, and none can touch what is sealed."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from paho.mqtt import publish
from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from fleetmeter import schema
from fleetmeter.embedded import broker, ports
from metering.db.tables import OWN_TABLES
from tests.support import roles as support
from tests.support.closed_months import closed_october
from tests.support.platform import Platform
from tests.support.roles import Roles, install, let_in, psql
from tests.support.until import until

FOREIGN = ("AWS_", "MQTT_", "S3_", "ECR_", "DB_", "FLEETMETER_", "DATABASE_")
DENIED = ("42501", "23001")  # insufficient_privilege, restrict_violation


@pytest.fixture
def administered(url: URL, superuser: URL) -> Iterator[URL]:
    """The database as the superuser, who runs the files."""
    with support.administered(superuser, url.database) as address:
        yield address


@pytest.fixture
def empty(empty_url: URL, superuser: URL) -> Iterator[URL]:
    """An empty database as the superuser."""
    with support.administered(superuser, empty_url.database) as address:
        yield address


@pytest.fixture
def platform(administered: URL) -> Iterator[Platform]:
    engine = create_engine(administered)
    yield Platform(engine)
    engine.dispose()


@pytest.fixture
def roles(administered: URL, engine: Engine, platform: Platform) -> Roles:
    """A database of one role, with a closed month in it, handed over to the roles."""
    platform.sql("INSERT INTO users (organization_id, email) VALUES (:id, 'a@b')", id=platform.organization())
    closed_october(engine, platform, projects=2)
    return install(administered)


@contextmanager
def connection_of(url: URL) -> Iterator[Callable[..., object]]:
    """A session of the role; its statements are committed one by one."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield lambda statement, **values: connection.execute(text(statement), values)
    engine.dispose()


def environment_of(url: URL, folder: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    own = {"DATABASE_URL": url.render_as_string(hide_password=False), "FLEETMETER_DATA_DIR": str(folder)}
    return inherited | own | more


def fleetmeter(url: URL, folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "fleetmeter.cli", *arguments],
        env=environment_of(url, folder, **more),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def daemon(url: URL, folder: Path, *arguments: str, **more: str) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "fleetmeter.cli", *arguments],
        env=environment_of(url, folder, **more),
        cwd=folder,
    )
    try:
        yield
        assert process.poll() is None, "it ended by itself"
    finally:
        process.terminate()
        process.wait(30)


def test_the_files_bring_an_empty_database_up(empty: URL) -> None:
    psql(empty, "owner.sql")
    psql(empty, "owner.sql")
    roles = let_in(empty)
    schema.migrate(create_engine(roles.owner))
    assert psql(empty, "grants.sql") == ""
    assert psql(empty, "grants.sql") == ""
    for url in (roles.writer, roles.reader):
        schema.require_head(create_engine(url))


def test_the_files_work_in_a_schema_of_their_own(empty: URL) -> None:
    with connection_of(empty) as admin:
        admin("CREATE SCHEMA meter")
    psql(empty, "owner.sql", schema="meter")
    roles = let_in(empty)
    schema.migrate(create_engine(roles.owner))
    psql(empty, "grants.sql", schema="meter")
    with connection_of(roles.writer) as run:
        run("SELECT fleetmeter_ensure_partition('daily_stats', '2026-10-01')")
        assert run("SELECT to_regclass('meter.daily_stats_2026_10') IS NOT NULL").scalar()
    with connection_of(empty) as admin:
        assert admin("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").scalar() == 0


def test_grants_before_migrate_say_what_to_do(empty: URL) -> None:
    psql(empty, "owner.sql")
    with pytest.raises(AssertionError, match=r"run owner\.sql, then fleetmeter migrate"):
        psql(empty, "grants.sql")


def test_the_owner_takes_over_each_table_of_fleetmeter(roles: Roles) -> None:
    with connection_of(roles.owner) as run:
        others = run("""
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND relowner <> 'fleetmeter_owner'::regrole""").scalars()
        assert not set(others) & {*OWN_TABLES, "fleetmeter_version"}


def test_a_writer_of_the_earlier_roles_file_is_no_member_of_the_owner_any_more(administered: URL) -> None:
    install(administered)
    with connection_of(administered) as admin:
        admin("GRANT fleetmeter_owner TO fleetmeter_writer")
        psql(administered, "owner.sql")
        assert not admin("SELECT pg_has_role('fleetmeter_writer', 'fleetmeter_owner', 'MEMBER')").scalar()


def test_every_job_runs_as_the_writer(roles: Roles, tmp_path: Path, platform: Platform) -> None:
    project = platform.project(created_at="2026-11-01T00:00:00Z")
    platform.logs(project, datetime(2026, 11, 3, 10, tzinfo=UTC), 5)
    for job in ("hourly", "daily", "anomalies", "reconcile"):
        result = fleetmeter(roles.writer, tmp_path, "run", job, "--at", "2026-11-05T00:10:00Z")
        assert result.returncode == 0, result.stdout + result.stderr
    assert platform.scalar("SELECT sum(logs)::int FROM daily_stats WHERE project_id = :id", id=project) == 5
    dry = fleetmeter(roles.writer, tmp_path, "run", "hourly", "--dry-run")
    assert dry.returncode == 0, dry.stderr
    adjust = (
        "adjust",
        "--project",
        str(project),
        "--date",
        "2026-11-03",
        "--amount",
        "5",
        "--reason",
        "goodwill",
    )
    for more in (
        ("backfill", "--from", "2026-11-03", "--to", "2026-11-03"),
        adjust,
        ("verify",),
        ("alerts",),
    ):
        result = fleetmeter(roles.writer, tmp_path, *more)
        assert result.returncode == 0, result.stdout + result.stderr


def test_retention_runs_as_the_writer_and_writes_what_goes(
    roles: Roles, tmp_path: Path, platform: Platform
) -> None:
    note = """INSERT INTO audit_log (actor, action, subject, after)
        VALUES ('x', 'archive', '2026-10', '{"bills": 2, "place": "s3://b/p"}')"""
    with connection_of(roles.writer) as run:
        run(note)
    days = platform.scalar("SELECT count(*) FROM daily_stats")
    keep = {"FLEETMETER_KEEP_DAYS_MONTHS": "1", "FLEETMETER_CLOCK_TOLERANCE": "99999999"}
    result = fleetmeter(roles.writer, tmp_path, "run", "retention", "--at", "2026-11-20T00:00:00Z", **keep)
    assert result.returncode == 0, result.stderr
    assert days == 62
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 62, "it is kept for a month after its end"
    with connection_of(roles.writer) as run:
        removed = run("""SELECT removed, whole FROM fleetmeter_retention('daily_stats', '2026-10-01',
            ARRAY(SELECT project_id FROM monthly_stats), 'runner@host')""").one()
    assert removed[0] == 62
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 0
    written = platform.rows("SELECT actor, after FROM audit_log WHERE action = 'retention'")
    expected = {"before": "2026-11-01", "month": "2026-10", "projects": 2, "rows": 62}
    assert written == [("runner@host", expected)]


@pytest.mark.drill
def test_counter_runner_and_console_run_as_the_writer(
    roles: Roles, tmp_path: Path, platform: Platform, engine: Engine
) -> None:
    server = broker.start(tmp_path, port=0)
    organization, project = platform.rows("SELECT organization_id, id FROM projects ORDER BY id LIMIT 1")[0]
    topic = f"roboticks/{organization}/{project}/arm/state"
    port = ports.choose_port(tmp_path / "console-port")
    try:
        with (
            daemon(roles.writer, tmp_path, "counter", MQTT_URL=server.url),
            daemon(roles.writer, tmp_path, "runner"),
            daemon(roles.writer, tmp_path, "console", "--port", str(port)),
        ):
            until(lambda: platform.scalar("SELECT bool_or(connected) FROM mqtt_sessions"))
            before = platform.scalar(
                "SELECT mqtt_inbound FROM project_stats WHERE project_id = :id", id=project
            )
            address = server.url.rpartition(":")
            publish.single(topic, "x", qos=1, hostname="127.0.0.1", port=int(address[2]))
            query = "SELECT mqtt_inbound > :before FROM project_stats WHERE project_id = :id"
            until(lambda: platform.scalar(query, before=before, id=project))
            until(lambda: platform.scalar("SELECT count(*) FROM job_runs WHERE state = 'succeeded'"))
            until(lambda: answers(f"http://127.0.0.1:{port}/readyz"))
    finally:
        server.stop()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as response:  # noqa: S310 - loopback
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.drill
def test_every_reading_command_runs_as_the_reader(roles: Roles, tmp_path: Path, platform: Platform) -> None:
    project = str(platform.scalar("SELECT min(project_id) FROM monthly_stats"))
    reading = (
        ["status"],
        ["missing"],
        ["coverage", project, "2026-10-15"],
        ["month", "2026-10"],
        ["explain", project, "2026-10"],
        ["spend"],
        ["jobs"],
        ["alerts"],
        ["verify"],
        ["broker-acl"],
        ["export", "monthly", "--month", "2026-10"],
        ["export", "daily", "--from", "2026-10-01", "--to", "2026-10-31"],
        ["export", "adjustments", "--month", "2026-10"],
    )
    for arguments in reading:
        result = fleetmeter(roles.reader, tmp_path, *arguments)
        assert result.returncode == 0, (arguments, result.stdout + result.stderr)
    doctor = fleetmeter(roles.reader, tmp_path, "doctor")
    assert "fleetmeter_reader owns no sealed table" in doctor.stdout
    assert "Error" not in doctor.stdout + doctor.stderr


def test_a_reader_that_wants_to_write_gets_one_sentence(roles: Roles, tmp_path: Path) -> None:
    for arguments in (
        ["run", "hourly"],
        ["alerts", "ack", "1"],
        ["adjust", "--project", "1", "--date", "2026-11-03", "--amount", "1", "--reason", "x"],
    ):
        result = fleetmeter(roles.reader, tmp_path, *arguments)
        assert result.returncode == 1
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith("fleetmeter: the database role may not do this (permission denied"), (
            result.stderr
        )


def test_the_doctor_says_that_triggers_do_not_bind_an_owner(url: URL, engine: Engine, tmp_path: Path) -> None:
    answer = " ".join(fleetmeter(url, tmp_path, "doctor", COLUMNS="500").stdout.split())
    assert "triggers do not bind the owner of a table" in answer


REPLACE = """CREATE OR REPLACE FUNCTION fleetmeter_refuse() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RETURN OLD; END $$"""
FORGE = """INSERT INTO monthly_stats SELECT (jsonb_populate_record(m, jsonb_build_object(
    'year', extract(year FROM now()), 'month', extract(month FROM now())))).* FROM monthly_stats m"""
FORBIDDEN = {
    "disable a trigger": "ALTER TABLE daily_stats DISABLE TRIGGER daily_stats_sealed",
    "disable every trigger": "ALTER TABLE monthly_stats DISABLE TRIGGER ALL",
    "drop a trigger": "DROP TRIGGER audit_log_kept ON audit_log",
    "fire no trigger": "SET session_replication_role = replica",
    "become the owner": "SET ROLE fleetmeter_owner",
    "replace a function": REPLACE,
    "make a function": "CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT NULL $$",
    "make a table": "CREATE TABLE public.mine (id int)",
    "change an audit row": "UPDATE audit_log SET actor = 'nobody'",
    "delete audit rows": "DELETE FROM audit_log",
    "empty the audit log": "TRUNCATE audit_log",
    "change a bill": "UPDATE monthly_stats SET total_charge = 0",
    "delete a bill": "DELETE FROM monthly_stats",
    "change a day": "UPDATE daily_stats SET logs = 0",
    "delete a day": "DELETE FROM daily_stats",
    "delete from a partition": "DELETE FROM daily_stats_default",
    "insert into a partition": "INSERT INTO daily_stats_default SELECT * FROM daily_stats",
    "drop a partition": "DROP TABLE daily_stats_default",
    "delete an adjustment": "DELETE FROM adjustments",
    "change a plan": "UPDATE plan_versions SET content = '{}'",
    "delete hours": "DELETE FROM usage_hourly",
    "forge a retention row": "INSERT INTO audit_log (actor, action, subject, after)"
    " VALUES ('x', 'retention', 'daily_stats', '{\"month\": \"2026-10\"}')",
    "forge an installation": "INSERT INTO audit_log (at, actor, action, subject)"
    " VALUES ('2020-01-01Z', 'x', 'install', 'fleetmeter')",
    "drop an open month": "SELECT fleetmeter_retention('daily_stats', '2026-11-01', ARRAY[1], 'x')",
    "forge a bill of the running month": FORGE,
    "forge its bill, then drop the running month": f"{FORGE}; SELECT fleetmeter_retention("
    "'daily_stats', now()::date, ARRAY(SELECT project_id FROM monthly_stats), 'x')",
    "drop a month that is not archived": "SELECT fleetmeter_retention('daily_stats', '2026-10-01',"
    " ARRAY(SELECT project_id FROM monthly_stats), 'x')",
    "say the schema's version": "UPDATE fleetmeter_version SET version_num = 'x'",
    "read addresses": "SELECT email FROM users",
    "read whole users": "SELECT * FROM users",
    "write the platform's tables": "UPDATE projects SET is_active = false",
    "seal a table": "SELECT fleetmeter_seal_table('project_stats', true)",
}


@pytest.mark.parametrize("role", ["writer", "reader"])
def test_neither_role_can_touch_what_is_sealed(roles: Roles, role: str) -> None:
    outcomes = {action: outcome(getattr(roles, role), statement) for action, statement in FORBIDDEN.items()}
    assert {action: code for action, code in outcomes.items() if code not in DENIED} == {}


def outcome(url: URL, statement: str) -> str:
    """Return PostgreSQL's code of the refusal, or what was done."""
    with connection_of(url) as run:
        try:
            run(statement)
        except DBAPIError as error:
            return str(getattr(error.orig, "pgcode", error))
    return "done"


def test_a_reader_writes_nothing(roles: Roles) -> None:
    with connection_of(roles.reader) as run:
        tables = run("""
            SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
            AND (has_table_privilege(oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                OR has_any_column_privilege(oid, 'INSERT, UPDATE'))""").scalars()
        assert list(tables) == []


def test_functions_of_the_owner_take_no_other_table(roles: Roles) -> None:
    for call in (
        "fleetmeter_ensure_partition('audit_log', '2026-10-01')",
        "fleetmeter_retention('audit_log', '2026-10-01', ARRAY[1], 'x')",
    ):
        with connection_of(roles.writer) as run, pytest.raises(DBAPIError, match="audit_log"):
            run(f"SELECT {call}")


SHADOWS = """
    CREATE TEMP TABLE audit_log AS SELECT 'retention' AS action, 'daily_stats' AS subject,
        '{"month": "2026-11"}'::jsonb AS after;
    CREATE TEMP TABLE monthly_stats AS SELECT project_id, 2026 AS year, 11 AS month FROM project_stats;"""


def test_a_temporary_table_takes_no_tables_place(administered: URL, roles: Roles, platform: Platform) -> None:
    project = platform.project(created_at="2026-11-01T00:00:00Z")
    platform.sql(
        """INSERT INTO daily_stats (date, organization_id, project_id, year, month, day, tier, coverage,
            row_hash) SELECT '2026-11-02', organization_id, id, 2026, 11, 2, 'free', '{}', 'x'
        FROM projects WHERE id = :id""",
        id=project,
    )
    running = "INSERT INTO project_stats (project_id, open_from, updated_at) VALUES (:id, now(), now())"
    platform.sql(running, id=project)
    with connection_of(administered) as owner:  # who may delete, were it not for the trigger
        owner(SHADOWS)
        with pytest.raises(DBAPIError, match="sealed"):
            owner("DELETE FROM public.daily_stats WHERE project_id = :id", id=project)
    with connection_of(roles.writer) as run:
        run(SHADOWS)
        with pytest.raises(DBAPIError, match="not closed"):
            run("SELECT fleetmeter_retention('daily_stats', '2026-11-01', ARRAY[:id], 'x')", id=project)
        run("CREATE TEMP TABLE usage_hourly_2031_01 (hour timestamptz)")
        run("SELECT fleetmeter_ensure_partition('usage_hourly', '2031-01-01')")
        assert run("SELECT to_regclass('public.usage_hourly_2031_01') IS NOT NULL").scalar()
