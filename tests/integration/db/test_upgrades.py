"""Landed revisions never change, and sealed data survives every upgrade and a dump."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, text

from fleetmeter import schema
from metering.db.engine import engine_of
from metering.proof.verify import verify
from tests.support.pg_programs import run

ROOT = Path(__file__).parents[3]
SEALED = ROOT / "tests" / "data" / "form_1" / "sealed.sql"

# SHA-256 of every revision file that has landed. A landed file never changes: databases out there have run it
# as it was. A release adds its new files here.
LANDED = {
    "20251108_create_daily_stats.py": "6bf21a588c268b5f0f316b17043dbb55c8d3ef6bb892a05302405ffb236d8d05",
    "20251108_create_ledger.py": "b49a4547ed4a019d3cd618f7680fe8ca2549e5806fc6c1de308df70d132e7cbc",
    "20251108_create_monthly_stats.py": "0b2bffbd582db09e8ff989d60465d7e0f3a4352b6c5b75c19f2e0d21b56b703b",
    "20251108_create_operations.py": "63eebec4d7f635ed1a22df021a8ba1fc47aa52ec78f18bd8dd3d166e4492fee1",
    "20251108_create_platform_tables.py": "e2414eed1825a28cda65d3287bdf2dc41f456b22f01be5cd25097cf89236749b",
    "20251125_collect_from_accounts.py": "697b8602aac491a340428d1ff072e15824f063041c1a41da080b415ff1851b71",
    "20251125_count_failed_attempts.py": "d53a2ef4fe3275591a248425f71f783a335ed33382ba3dd3ba0579c4d3043193",
    "20251125_count_lost_workers.py": "d7bc0fa6cf1237e8d5a013233e409047426c32e4e2fa410df64cbb264e0a0063",
    "20251125_month_status.py": "6dd336d11ee7072bd322e44d18594c914d1ab8efa01818f5404389137b7dd367",
    "20251125_tiers_seen.py": "f2f1576f027639d478306b256701244654409c436048fda8893e95daed8c098a",
    "20261127_approvals_and_pauses.py": "549e120691d877c6a3cddfac99ce265ea8285084c0ade89de958b7d52fa2e062",
    "20261127_api_tokens.py": "eabbe416de633c2b2da63e3c75f8763a2d2e26484dd9f7c480c233f477a8627b",
    "20261127_bills_of_past_months.py": "5e2ddae67c9e07ac88645971331ee49e18e05d859cd5d50f4727545b2a248cc5",
    "20261127_bind_the_writer.py": "568551535ce4cccbca1680b7b7c404f54262482ff25b325ca21a80f1b56c4979",
    "20261127_catalogue_history.py": "10be70f7d828ddf4b2d12471e36644ba7c70a25dd09d7bb592ea627092808362",
    "20261127_counter_sessions.py": "f6f90a96864788903d08cfd0c50617978fd264447957426f36368f72f683c868",
    "20261127_device_usage.py": "84945b85a820cf5be2213d151cdb9f8247595834c61a14480d5800bc45c4ef85",
    "20261127_failure_kinds.py": "ee7b264c70fa4a853ce47bb52e46619530d4713343a8e506e094996091c11854",
    "20261127_forms_and_meters.py": "1b95052cdd9be6a4b9c6dce58034e7ad65cfadd20744e4f9926fbf3c76fea19b",
    "20261127_history_and_owners.py": "49ae147c2d85aa5fbf5d0b1df9014c8115277035f275bf5c227a0ffbdcdb22e0",
    "20261127_hours_by_owner.py": "fbb7d1fe5e37924583b0e9afc663c5f94b8054d3c42e60f2410f3b769d50eed6",
    "20261127_hours_for_everybody_first.py": "3b724d6309c2275122750150ab0776282fc9007d4da6f47a3c171079dff624c1",  # noqa: E501
    "20261127_incidents.py": "22ad4bc08b88a442bb7bc8fe7326b4ba4f8162145b288d094ee15a50ade9f07d",
    "20261127_index_hours_by_time.py": "7f17759ac07bedd2962625760eb6f045943e487cf07f15361e2bb2d82cc52383",
    "20261127_month_versions.py": "6796aa4cd1f9906b1dff70b463b4fb200df947b84d16c5a9b392062b80de2308",
    "20261127_own_meters.py": "c7888cccfe6b2415f191564c1847bb0043f6892be3cd5227598d3cd60b5c326d",
    "20261127_row_level_security.py": "62965bb21672025c95b1fae0c93fd3e8cffa8202b9eace3ee4675702db1d968f",
    "20261127_sign_outs.py": "73c3d767b8e4067e8e5fe1137b76e354c12a02ed6a9c26ce3f44e0e0a0765a4b",
    "20261127_summaries.py": "1e4fe069650f97ddb0638de99ac254a51746a0e7385d238aa4c20e827847dd11",
    "20261127_unknown_log_levels.py": "54242e63076d9784edaf1f0ea7ec663c75815b4cbb8dd941a095d53e204fe626",
    "20261127_value_corrections.py": "3d36e93616fcf7bc6501b066b0908ee105cee35f52bd87ca1a5aa039076269d9",
    "20261127_views_and_annotations.py": "422ae943dffb3de608970d0c433868f93d36a4499f9e5230cf0fcbe108a5f7a6",
    "20261128_tier_days.py": "6ea8e1cc04e7d3b9fd1f0409851fede2c085dbda9054bcfa0d72d968029176b0",
}
# The revision of the first release: from it on a database could hold sealed days and closed months.
FIRST_RELEASE = "k9012345678i"
OLDEST_FIRST = [script.revision for script in reversed(schema.revisions())]
WITH_SEALED_DATA = OLDEST_FIRST[OLDEST_FIRST.index(FIRST_RELEASE) :]


def test_the_digest_of_every_revision_is_held() -> None:
    files = {path.name for path in (ROOT / "migrations" / "versions").glob("*.py")} - {"__init__.py"}
    assert files == set(LANDED), "add the new file and its SHA-256 to LANDED"
    assert len(files) == len(OLDEST_FIRST)


@pytest.mark.parametrize("name", LANDED)
def test_a_landed_revision_never_changes(name: str) -> None:
    content = (ROOT / "migrations" / "versions" / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == LANDED[name]


def fill(engine: Engine, statements: str) -> None:
    """Load rows that an older version sealed, in place of this installation's own audit log."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE audit_log DISABLE TRIGGER USER"))
        connection.execute(text("DELETE FROM audit_log"))
        connection.exec_driver_sql(statements)
        connection.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_sealed"))
        connection.execute(text("ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_kept"))


@pytest.fixture
def empty(empty_url: URL) -> Iterator[Engine]:
    engine = engine_of(empty_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("revision", WITH_SEALED_DATA)
def test_sealed_data_of_each_older_schema_verifies_after_the_upgrade(empty: Engine, revision: str) -> None:
    schema.migrate(empty, revision)
    fill(empty, SEALED.read_text(encoding="utf-8"))
    before = verified_rows(empty)
    schema.migrate(empty)
    report = verify(empty)
    assert report.discrepancies == []
    assert verified_rows(empty) == before
    assert before[0] > 40
    assert before[1] == 2


def verified_rows(engine: Engine) -> tuple[int, int]:
    with engine.connect() as connection:
        days = connection.scalar(text("SELECT count(*) FROM daily_stats")) or 0
        return days, connection.scalar(text("SELECT count(*) FROM monthly_stats")) or 0


def test_a_dump_restored_into_another_database_of_the_server_verifies(
    empty: Engine, empty_url: URL, admin: Connection, tmp_path: Path
) -> None:
    schema.migrate(empty, FIRST_RELEASE)
    fill(empty, SEALED.read_text(encoding="utf-8"))
    schema.migrate(empty)
    dump = tmp_path / "dump.sql"
    run("pg_dump", empty_url, "--enable-row-security", "--no-owner", f"--file={dump}")
    name = f"{empty_url.database}_copy"
    admin.execute(text(f'CREATE DATABASE "{name}"'))
    copy = engine_of(empty_url.set(database=name))
    try:
        run("psql", copy.url, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={dump}")
        report = verify(copy)
        assert report.discrepancies == []
        assert verified_rows(copy) == verified_rows(empty)
        schema.require_head(copy)
        with pytest.raises(Exception, match="sealed"), copy.begin() as connection:
            connection.execute(text("UPDATE daily_stats SET logs = 1"))
    finally:
        copy.dispose()
        admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
