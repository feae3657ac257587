"""Closing a month: subtract, not zero; once; in order; and only when nothing is missing unexplained."""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from collectors.platform.source import PLATFORM_DB
from metering.catalogue import history, projects
from metering.catalogue.periods import Day, Month
from metering.config.settings import Settings
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.errors import PeriodError, UnknownCounter
from metering.ledger import sessions
from metering.ledger.gauges import record_gauges
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.months import gaps
from metering.months.close import CloseResult, close_month
from metering.months.due import due_months
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.gaps import open_gap
from tests.support.platform import Platform, hours

OCTOBER = Month.parse("2026-10")
MID_OCTOBER = datetime(2026, 10, 15, 12, tzinfo=UTC)
MIDNIGHT = OCTOBER.end


def count(engine: Engine, key: tuple[int, int], at: datetime, inbound: int) -> None:
    with transaction(engine) as connection:
        add_mqtt(connection, {key: MqttUsage(inbound, 0, 0, 0, "topic")}, at)


def close(engine: Engine, month: Month = OCTOBER, at: datetime | None = None) -> CloseResult:
    with transaction(engine) as connection:
        ids = projects.ids(connection)
        at = at or month.end
        return close_month(connection, month, ids, plans.load(None), at, "operator@cli")


def fleet(
    platform: Platform, created_at: str = "2026-10-01T00:00:00Z", tier: str = "free"
) -> tuple[int, int]:
    organization = platform.organization(tier)
    return organization, platform.project(organization, created_at=created_at)


def test_closing_subtracts_the_month_and_keeps_what_came_after(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 100)
    count(engine, key, MIDNIGHT + hours(1), 7)
    assert close(engine, at=MIDNIGHT + hours(2)).closed == 1
    assert platform.rows("SELECT mqtt_inbound, lifetime_mqtt_inbound FROM project_stats") == [(7, 100)]
    assert platform.rows(
        "SELECT mqtt_inbound, days_present, days_expected, closed_by FROM monthly_stats"
    ) == [(100, 31, 31, "operator@cli")]
    assert verify(engine).sound


def test_closing_twice_changes_nothing(engine: Engine, platform: Platform) -> None:
    count(engine, fleet(platform), MID_OCTOBER, 100)
    close(engine)
    before = platform.rows("SELECT s.*, m.* FROM project_stats s JOIN monthly_stats m USING (project_id)")
    assert close(engine).closed == 0
    after = platform.rows("SELECT s.*, m.* FROM project_stats s JOIN monthly_stats m USING (project_id)")
    assert after == before


def test_a_month_that_runs_is_not_closed(engine: Engine, platform: Platform) -> None:
    count(engine, fleet(platform), MID_OCTOBER, 100)
    with pytest.raises(PeriodError, match="2026-10 is not over"):
        close(engine, at=MID_OCTOBER)
    assert platform.scalar("SELECT count(*) FROM daily_stats") == 0


def test_closing_first_seals_the_days_that_are_missing(engine: Engine, platform: Platform) -> None:
    count(engine, fleet(platform), MID_OCTOBER, 100)
    assert close(engine).sealed == 31
    assert platform.scalar("SELECT count(*) FROM daily_stats WHERE mqtt_inbound = 100") == 1


def test_months_close_in_order(engine: Engine, platform: Platform) -> None:
    key = fleet(platform, created_at="2026-09-20T00:00:00Z")
    count(engine, key, datetime(2026, 9, 25, tzinfo=UTC), 5)
    count(engine, key, MID_OCTOBER, 100)
    assert close(engine).blocked == {key[1]: "close 2026-09 first"}
    with transaction(engine) as connection:
        assert due_months(connection, MIDNIGHT) == [OCTOBER.previous(), OCTOBER]
    assert close(engine, OCTOBER.previous(), MIDNIGHT).closed == 1
    assert close(engine).closed == 1
    with transaction(engine) as connection:
        assert due_months(connection, MIDNIGHT) == []
    assert verify(engine).sound


def test_a_gap_blocks_its_project_only_until_it_is_accepted(engine: Engine, platform: Platform) -> None:
    whole, blind = fleet(platform), fleet(platform)
    for key in (whole, blind):
        count(engine, key, MID_OCTOBER, 1)
    with transaction(engine) as connection:
        open_gap(connection, "mqtt", MID_OCTOBER, MID_OCTOBER + hours(2), "session lost", [blind[1]])
    result = close(engine)
    assert result.closed == 1
    assert "mqtt was blind from 2026-10-15 12:00 to 2026-10-15 14:00" in result.blocked[blind[1]]
    platform.sql("UPDATE gaps SET accepted_at = now(), accepted_by = 'a', accepted_reason = 'b'")
    assert close(engine).closed == 1


def test_a_source_never_configured_does_not_block(engine: Engine, platform: Platform) -> None:
    count(engine, fleet(platform), MID_OCTOBER, 1)
    assert close(engine).blocked == {}


def test_a_platform_source_that_went_blind_blocks_until_its_days_are_recounted(
    configured: Settings, engine: Engine, platform: Platform
) -> None:
    key = fleet(platform)
    PLATFORM_DB.refresh(configured, engine, MID_OCTOBER)
    platform.logs(key[1], MID_OCTOBER + hours(30), 3)
    reason = close(engine).blocked[key[1]]
    assert "platform_db was blind from 2026-10-15 12:00 to 2026-11-01 00:00 (not read since)" in reason
    assert "platform_db was blind from 2026-10-15 12:00 to 2026-10-16 00:00" in reason, "sealed with a part"
    PLATFORM_DB.refresh(configured, engine, MIDNIGHT)
    assert "not read since" not in (reason := close(engine).blocked[key[1]])
    assert "platform_db was blind from 2026-10-16 00:00 to 2026-10-17 00:00" in reason
    PLATFORM_DB.recount_late(engine, datetime.now(UTC) + timedelta(days=2))
    assert platform.rows("SELECT quantity, usage_date FROM adjustments") == [(3, date(2026, 10, 16))]
    assert close(engine).closed == 1


def test_a_silent_counter_blocks(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 1)
    platform.sql(
        """INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at)
        VALUES ('fleetmeter-counter', :at, :at)""",
        at=MID_OCTOBER,
    )
    assert "mqtt was blind from 2026-10-15 12:00 to 2026-11-01 00:00" in close(engine).blocked[key[1]]
    assert close(engine).closed == 0
    assert platform.scalar("SELECT count(*) FROM gaps") == 1
    platform.sql("UPDATE mqtt_sessions SET last_seen_at = :at", at=MIDNIGHT + hours(0.1))
    assert close(engine).closed == 1


def away_member(engine: Engine, platform: Platform) -> tuple[int, int]:
    """Two members of a shared group count in October; one of them goes away in its middle."""
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 1)
    for client_id, last_seen_at in (("slot-1", MIDNIGHT + hours(1)), ("slot-2", MID_OCTOBER)):
        platform.sql(
            """INSERT INTO mqtt_sessions (client_id, shared_group, session_started_at, last_seen_at)
            VALUES (:client, 'meters', :start, :seen)""",
            client=client_id,
            start=MID_OCTOBER - hours(24),
            seen=last_seen_at,
        )
    return key


def test_a_member_of_a_shared_group_that_is_away_blocks_until_it_is_back(
    engine: Engine, platform: Platform
) -> None:
    key = away_member(engine, platform)
    reason = close(engine).blocked[key[1]]
    assert "mqtt was blind from 2026-10-15 12:00 to 2026-11-01 00:00" in reason
    assert "slot-2" in reason
    assert "slot-1" not in reason
    platform.sql(
        "UPDATE mqtt_sessions SET last_seen_at = :at WHERE client_id = 'slot-2'", at=MIDNIGHT + hours(2)
    )
    assert close(engine).closed == 1


def test_a_member_that_is_retired_blocks_no_more_and_leaves_an_accepted_gap(
    engine: Engine, platform: Platform
) -> None:
    key = away_member(engine, platform)
    assert key[1] in close(engine).blocked
    with transaction(engine) as connection:
        sessions.retire(connection, "slot-2", "its host burned down", "ada@cli", MIDNIGHT + hours(3))
    assert close(engine).closed == 1
    gaps_left = platform.rows("SELECT starts_at, ends_at, accepted_by FROM gaps WHERE kind = 'retired'")
    assert gaps_left == [(MID_OCTOBER, MIDNIGHT + hours(3), "ada@cli")]
    assert platform.scalar("SELECT reason FROM audit_log WHERE action = 'retire-counter'") == (
        "its host burned down"
    )


def test_a_counter_that_counts_cannot_be_retired(engine: Engine, platform: Platform) -> None:
    away_member(engine, platform)
    platform.sql("UPDATE mqtt_sessions SET connected = true")
    with (
        pytest.raises(UnknownCounter, match="slot-1 is counting; stop it first"),
        transaction(engine) as connection,
    ):
        sessions.retire(connection, "slot-1", "tidying", "ada@cli", MIDNIGHT + hours(1))


def test_a_counter_that_stays_silent_is_accepted_for_one_month_only(
    engine: Engine, platform: Platform
) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 1)
    platform.sql(
        """INSERT INTO mqtt_sessions (client_id, session_started_at, last_seen_at)
        VALUES ('fleetmeter-counter', :at, :at)""",
        at=MID_OCTOBER,
    )
    assert key[1] in close(engine).blocked
    with transaction(engine) as connection:
        gaps.accept(connection, 1, "the broker was retired", "operator@cli", MIDNIGHT)
    assert close(engine).closed == 1
    assert key[1] in close(engine, OCTOBER.next()).blocked


def test_a_tier_that_no_plan_names_stops_that_project_only(engine: Engine, platform: Platform) -> None:
    priced, unpriced = fleet(platform), fleet(platform, tier="platinum")
    for key in (priced, unpriced):
        count(engine, key, MID_OCTOBER, 1)
    result = close(engine)
    assert result.closed == 1
    assert "platinum" in result.blocked[unpriced[1]]


def test_peaks_are_the_highest_sealed_level(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    for day, size in ((3, 10), (9, 50), (20, 30)):
        with transaction(engine) as connection:
            sample = {key[1]: {"s3_storage_bytes": size}}
            record_gauges(connection, "s3", sample, datetime(2026, 10, day, tzinfo=UTC))
    close(engine)
    assert platform.rows("SELECT peak_s3_storage_bytes, peak_device_count FROM monthly_stats") == [(50, None)]


def test_a_tier_changed_in_mid_month_is_rated_by_its_days_where_the_plan_prorates(
    engine: Engine, platform: Platform
) -> None:
    organization, project = fleet(platform, tier="starter")
    count(engine, (organization, project), MID_OCTOBER, 100)
    with transaction(engine) as connection:
        seal_through(connection, Day.of(MID_OCTOBER), [project], MID_OCTOBER + hours(12))
    platform.sql("UPDATE organizations SET tier = 'pro'")
    terms = plans.load(None).versions[0].model_dump() | {"prorate": True}
    with transaction(engine) as connection:
        history.read(connection, MID_OCTOBER + hours(13))
        offered = plans.Plans.model_validate({"versions": [terms]})
        close_month(connection, OCTOBER, [project], offered, MIDNIGHT, "a@cli")
    # 15 days at 29.00 and 16 at 199.00 a month.
    assert platform.rows("SELECT tier, plan_fee::text, mqtt_inbound FROM monthly_stats") == [
        ("pro", "116.74", 100)
    ]
    assert verify(engine).sound


def test_a_deactivated_project_is_billed_for_its_days(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 9)
    platform.deactivate(key[1], MID_OCTOBER)
    close(engine)
    assert platform.rows("SELECT mqtt_inbound, days_present, days_expected FROM monthly_stats") == [
        (9, 15, 15)
    ]
    with transaction(engine) as connection:
        assert due_months(connection, datetime(2027, 2, 1, tzinfo=UTC)) == []


def test_the_seal_is_the_documented_hash(engine: Engine, platform: Platform) -> None:
    key = fleet(platform, created_at="2026-09-29T00:00:00Z")
    count(engine, key, MID_OCTOBER, 9)
    close(engine, OCTOBER.previous(), MIDNIGHT)
    close(engine)
    previous = ""
    for month, seal in platform.rows("SELECT month, seal FROM monthly_stats ORDER BY month"):
        ((bill,),) = platform.rows(
            """SELECT to_jsonb(m) - 'seal' - 'created_at' || jsonb_build_object(
                'overage_charge', overage_charge::text, 'plan_fee', plan_fee::text,
                'adjustment_charge', adjustment_charge::text, 'total_charge', total_charge::text)
            FROM monthly_stats m WHERE month = :month""",
            month=month,
        )
        hashes = [
            row[0]
            for row in platform.rows(
                "SELECT row_hash FROM daily_stats WHERE month = :month ORDER BY date", month=month
            )
        ]
        canonical = json.dumps(bill, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        text = "\n".join([previous, *hashes, canonical])
        assert hashlib.sha256(text.encode()).hexdigest() == seal
        previous = seal


@pytest.mark.parametrize(
    "statement",
    ["UPDATE monthly_stats SET total_charge = 0", "DELETE FROM monthly_stats", "TRUNCATE monthly_stats"],
)
def test_a_closed_month_refuses_every_change(engine: Engine, platform: Platform, statement: str) -> None:
    count(engine, fleet(platform), MID_OCTOBER, 9)
    close(engine)
    with pytest.raises(IntegrityError, match="sealed"):
        platform.sql(statement)


def tamper(platform: Platform, table: str, statement: str) -> None:
    """As a superuser would, triggers switched off."""
    platform.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER; {statement}")


@pytest.mark.parametrize(
    ("table", "statement", "law"),
    [
        (
            "usage_hourly",
            "UPDATE usage_hourly SET mqtt_inbound = 8 WHERE mqtt_inbound = 9",
            "a day = its hours",
        ),
        ("usage_hourly", "DELETE FROM usage_hourly WHERE mqtt_inbound = 9", "a day = its hours"),
        (
            "daily_stats",
            "UPDATE daily_stats SET mqtt_inbound = 8 WHERE mqtt_inbound = 9",
            "a sealed day is as it was sealed",
        ),
        (
            "daily_stats",
            "UPDATE daily_stats SET tier = 'pro' WHERE day = 3",
            "a sealed day is as it was sealed",
        ),
        (
            "monthly_stats",
            "UPDATE monthly_stats SET total_charge = 0.01",
            "a closed month is as it was sealed",
        ),
        ("monthly_stats", "UPDATE monthly_stats SET mqtt_inbound = 8", "a month = its days + adjustments"),
        (
            "project_stats",
            "UPDATE project_stats SET mqtt_inbound = 1",
            "project_stats = hours of the open months",
        ),
        (
            "project_stats",
            "UPDATE project_stats SET lifetime_mqtt_inbound = 8",
            "lifetime = all closed months",
        ),
    ],
)
def test_verify_names_what_was_tampered_with(
    engine: Engine, platform: Platform, table: str, statement: str, law: str
) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 9)
    close(engine)
    assert verify(engine).sound
    tamper(platform, table, statement)
    discrepancies = verify(engine).discrepancies
    assert law in {discrepancy.law for discrepancy in discrepancies}
    assert {discrepancy.project_id for discrepancy in discrepancies} - {0} == {
        key[1]
    }  # 0: sums of an organization


def test_hours_that_nobody_sealed_are_found(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 9)
    platform.sql("UPDATE project_stats SET open_from = :at", at=MIDNIGHT)
    assert verify(engine).sound, "the day is missing, and the close seals it"
    close(engine)
    platform.sql(
        "INSERT INTO usage_hourly (project_id, hour, mqtt_inbound) VALUES (:id, '2026-09-30T23:00Z', 1)",
        id=key[1],
    )
    (stranded,) = (d for d in verify(engine).discrepancies if d.law == "no counted hour is left unsealed")
    assert stranded.period.startswith("2026-09-30")


def test_days_sealed_but_not_closed_stay_in_the_running_total(engine: Engine, platform: Platform) -> None:
    key = fleet(platform)
    count(engine, key, MID_OCTOBER, 9)
    with transaction(engine) as connection:
        seal_through(connection, Day.of(MID_OCTOBER), [key[1]], MIDNIGHT)
    assert platform.scalar("SELECT mqtt_inbound FROM project_stats") == 9
    assert verify(engine).sound
