"""Sums of sealed days are kept by whoever seals, restores or removes days, and proven."""

from datetime import UTC, datetime

from sqlalchemy import Engine, text

from fleetmeter import schema
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.days.seal import seal_through
from metering.db import scope
from metering.db.transactions import transaction
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.proof.summary_laws import SUMMARY_LAWS
from metering.proof.verify import verify
from migrations import summaries
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)
DAY = Day.parse("2026-11-22")


def sealed(engine: Engine, platform: Platform) -> tuple[int, list[int]]:
    organization = platform.organization("pro")
    ids = [platform.project(organization, created_at=DAY.start) for _ in range(3)]
    platform.sql(
        "INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at, connected)"
        " VALUES ('counter', :at, '2027-01-01Z', true)",
        at=DAY.start,
    )
    with transaction(engine) as connection:
        projects.ensure(connection, ids, DAY.start, since=DAY.start)
        usage = {(organization, project): MqttUsage(10, 1, 100, 10, "t") for project in ids}
        add_mqtt(connection, usage, DAY.start)
    for some in (ids[:2], ids[2:], ids):  # in two transactions, and once more
        with transaction(engine) as connection:
            seal_through(connection, DAY, some, DAY.end)
    return organization, ids


def test_the_seal_keeps_the_sums_and_verify_proves_them(engine: Engine, platform: Platform) -> None:
    organization, _ = sealed(engine, platform)
    query = """SELECT organization_id, tier, projects, mqtt_known, mqtt_inbound::int, platform_db_known
        FROM organization_days"""
    assert [tuple(row) for row in platform.rows(query)] == [(organization, "pro", 3, 3, 30, 0)]
    tiers = platform.rows("SELECT tier, projects, mqtt_known, mqtt_inbound::int FROM tier_days")
    assert [tuple(row) for row in tiers] == [("pro", 3, 3, 30)]
    months = platform.rows("SELECT month::text, days, mqtt_outbound::int FROM project_months")
    assert [tuple(row) for row in months] == [("2026-11-01", 1, 1)] * 3
    report = verify(engine)
    assert report.discrepancies == []
    assert report.checked["months by project = its days"] == 3


def test_functions_made_anew_keep_the_same_sums(engine: Engine, platform: Platform) -> None:
    query = """SELECT to_jsonb(d) FROM organization_days d UNION ALL SELECT to_jsonb(m) FROM project_months m
        UNION ALL SELECT to_jsonb(t) FROM tier_days t"""
    _, ids = sealed(engine, platform)
    rows = [dict(row[0]) for row in platform.rows(query)]
    with engine.begin() as connection:
        summaries.add(connection)  # as the revision of a new meter does
        connection.execute(text("SELECT fleetmeter_summarize('2026-11-01', '2026-12-01')"))
    assert [dict(row[0]) for row in platform.rows(query)] == rows
    with transaction(engine) as connection:  # the trigger
        seal_through(connection, Day.parse("2026-11-23"), ids, Day.parse("2026-11-23").end)
    assert verify(engine).discrepancies == []


def test_days_are_sealed_without_a_meter_that_was_removed(engine: Engine, platform: Platform) -> None:
    _, ids = sealed(engine, platform)
    with transaction(engine) as connection:
        summaries.remove(connection, "logs", "device_count")  # the way back of a meter's revision
        seal_through(connection, Day.parse("2026-11-23"), ids, Day.parse("2026-11-23").end)
    left = """SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_name IN ('organization_days', 'tier_days', 'project_months')
        AND column_name IN ('logs', 'device_count', 'known_device_count')"""
    assert platform.rows(left) == []
    assert platform.scalar("SELECT sum(days) FROM project_months") == 2 * len(ids)


def test_verify_names_the_value_of_a_sum_that_is_wrong(engine: Engine, platform: Platform) -> None:
    organization, ids = sealed(engine, platform)
    platform.sql("UPDATE organization_days SET mqtt_inbound = 31")
    platform.sql("DELETE FROM project_months WHERE project_id = :id", id=ids[1])
    platform.sql("UPDATE tier_days SET mqtt_inbound = 32, meters = '[]'")
    discrepancies = [str(each) for each in verify(engine).discrepancies]
    assert (
        f"days by organization = its projects' days: 2026-11-22, organization {organization}, pro,"
        " mqtt_inbound: expected 30, found 31" in discrepancies
    )
    assert (
        "days by tier = its organizations' days: 2026-11-22, pro, mqtt_inbound: expected 31, found 32"
        in discrepancies
    )
    assert (
        "days by tier = its organizations' days: 2026-11-22, pro, meters: expected {}, found []"
        in discrepancies
    )
    assert any("project " + str(ids[1]) in line and "months by project" in line for line in discrepancies)
    with engine.begin() as connection:
        connection.execute(text("SELECT fleetmeter_summarize('2026-11-01', '2026-12-01')"))
    assert verify(engine).discrepancies == []


def test_own_meters_are_added_and_their_largest_is_kept(engine: Engine, platform: Platform) -> None:
    _, ids = sealed(engine, platform)
    with engine.begin() as connection:
        connection.execute(
            text("""INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, tier,
                    coverage, meters, row_hash)
                SELECT p.id, '2026-11-23', p.organization_id, 2026, 11, 23, 'pro', '{}',
                    jsonb_build_object('queries', p.id, 'peak', 5), '' FROM projects p""")
        )
    for table in ("organization_days", "tier_days"):
        meters, largest = platform.rows(
            f"SELECT meters, largest_meters FROM {table} WHERE date = '2026-11-23'"
        )[0]
        assert (meters, largest) == ({"queries": sum(ids), "peak": 15}, {"queries": max(ids), "peak": 5})
    assert not {each.law for each in verify(engine).discrepancies} & {*SUMMARY_LAWS}


def test_an_upgrade_fills_the_sums_by_tier_with_what_is_sealed(engine: Engine, platform: Platform) -> None:
    _, ids = sealed(engine, platform)
    other = platform.project(platform.organization("pro"), created_at=DAY.start)
    day = """INSERT INTO daily_stats (project_id, date, organization_id, year, month, day, tier, coverage,
            meters, s3_storage_bytes, row_hash)
        SELECT id, '2026-11-23', organization_id, 2026, 11, 23, 'pro', '{}',
            jsonb_build_object('queries', id, 'peak', 5), 9223372036854775807, ''
        FROM projects WHERE id = ANY(:ids)"""
    platform.sql(day, ids=[*ids, other])
    query = "SELECT to_jsonb(t) FROM tier_days t ORDER BY date, tier"
    rows_before = [dict(row[0]) for row in platform.rows(query)]
    schema.downgrade(engine, "pastmonths01")
    platform.sql(day.replace("11-23", "11-24"), ids=ids)  # by the trigger as it was
    schema.migrate(engine)
    assert [dict(row[0]) for row in platform.rows(query)][:2] == rows_before
    assert [row[0] for row in platform.rows("SELECT projects FROM tier_days ORDER BY date")] == [3, 4, 3]
    assert not {each.law for each in verify(engine).discrepancies} & {*SUMMARY_LAWS}
    with engine.connect() as connection:
        scope.limit(connection, (1,))
        assert connection.scalar(text("SELECT count(*) FROM tier_days")) == 0
