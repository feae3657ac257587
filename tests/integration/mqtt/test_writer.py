"""A commit whose answer gets lost happens once, and a fenced daemon writes nothing that comes again."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine

from collectors.mqtt import claims
from collectors.mqtt.buffer import Batch
from collectors.mqtt.claims import Claim, Clock, Fenced
from collectors.mqtt.endpoint import Endpoint
from collectors.mqtt.session import Cut
from collectors.mqtt.store import Store
from collectors.mqtt.totals import ProjectCounters, Totals
from collectors.mqtt.writer import Writer
from metering.errors import DatabaseUnavailable
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
YEARS = 1e9  # seconds by which AT may differ from the clock
BROKER = Endpoint("nowhere", 1883, None, None, None, "counter")


@pytest.fixture
def store(engine: Engine) -> Store:
    return Store(engine, claim(engine))


@pytest.fixture
def batch(platform: Platform) -> Batch:
    organization = platform.organization()
    counters = ProjectCounters("a/topic", [3, 30, 4, 40], [0, 0, 0, 0], {}, {})
    totals = Totals({(organization, platform.project(organization)): counters})
    return Batch(totals, Cut((b"\0\7",), 7, 1))


def now() -> Clock:
    return Clock(AT, YEARS)


def claim(engine: Engine, session_present: bool = True) -> Claim:
    return claims.claim(engine, BROKER, None, session_present, now())[0]


def writer(store: Store) -> Writer:
    return Writer(store, lambda: AT, YEARS, lambda: None)


def fail_once(store: Store, monkeypatch: pytest.MonkeyPatch, committed: bool) -> list[int]:
    attempts: list[int] = []
    commit: Callable[..., datetime] = store.commit

    def failing(totals: Totals, last: int | None, flush: int, clock: Clock, isolated: bool) -> datetime:
        attempts.append(flush)
        at = clock.at
        if committed or len(attempts) > 1:
            at = commit(totals, last, flush, clock)
        if len(attempts) == 1:
            raise DatabaseUnavailable("the answer got lost")
        return at

    monkeypatch.setattr(store, "commit", failing)
    return attempts


@pytest.mark.parametrize(("committed", "attempts"), [(True, 1), (False, 2)])
def test_a_lost_answer_is_looked_up(
    platform: Platform,
    store: Store,
    batch: Batch,
    monkeypatch: pytest.MonkeyPatch,
    committed: bool,
    attempts: int,
) -> None:
    attempted = fail_once(store, monkeypatch, committed)
    own = writer(store)
    own.flush(batch)
    own.close()
    assert len(attempted) == len(set(attempted)) == attempts
    assert platform.rows("SELECT mqtt_inbound, mqtt_inbound_bytes FROM project_stats") == [(7, 70)]
    assert platform.rows("SELECT last_packet_id FROM mqtt_sessions") == [(7,)]


def test_a_fenced_daemon_commits_nothing_and_says_so(
    platform: Platform, engine: Engine, store: Store, batch: Batch
) -> None:
    claim(engine)
    own = writer(store)
    with pytest.raises(Fenced, match="client id counter"):
        own.flush(batch)
    assert own.unsaved == batch
    own.close()
    assert platform.rows("SELECT * FROM project_stats") == []
    store.commit_fenced(batch.totals, now())
    assert platform.rows("SELECT mqtt_inbound FROM project_stats") == [(3,)]


def test_each_start_raises_the_epoch_and_keeps_the_last_id(engine: Engine, store: Store) -> None:
    store.commit(Totals(), 41, 1, now())
    again = claim(engine)
    assert (again.epoch, again.last_packet_id) == (store.claim.epoch + 1, 41)


def test_a_new_session_is_recorded_once_however_often_it_is_tried(platform: Platform, store: Store) -> None:
    later = AT.replace(hour=11)
    assert not store.record_connection(False, None, now())
    store.commit(Totals(), 41, 1, Clock(AT.replace(minute=45), YEARS))
    assert store.record_connection(False, None, Clock(later, YEARS))
    assert not store.record_connection(False, None, Clock(later, YEARS))
    gaps: list[Any] = platform.rows("SELECT starts_at, ends_at FROM gaps")
    assert gaps == [(AT.replace(minute=45), later)]
    assert platform.rows("SELECT last_packet_id FROM mqtt_sessions") == [(None,)]


def test_a_project_whose_total_overflows_stops_no_other(
    platform: Platform, store: Store, batch: Batch
) -> None:
    [(organization, project)] = batch.totals.projects
    full = platform.project(organization)
    writer(store).flush(Batch(_of(organization, project, full), Cut((b"\0\7",), 7, 1)))
    platform.sql(
        "UPDATE project_stats SET mqtt_inbound_bytes = :n WHERE project_id = :p", n=2**63 - 9, p=full
    )
    for _ in range(2):
        writer(store).flush(Batch(_of(organization, project, full), Cut((b"\0\7",), 7, 1)))
    query = "SELECT mqtt_inbound FROM project_stats WHERE project_id = :p"
    assert platform.scalar(query, p=project) == 3 * 7
    assert platform.scalar(query, p=full) == 7
    assert platform.rows("SELECT reason, messages, sample_topics FROM unattributed_messages") == [
        ("malformed_topic", 9, ["malformed"]),
        ("refused", 14, ["a/topic"]),
    ]


def _of(organization: int, *projects: int) -> Totals:
    counters = ProjectCounters("a/topic", [3, 30, 4, 40], [0, 0, 0, 0], {}, {})
    return Totals({(organization, project): counters for project in projects}, [3, 0, 0, 0], ["malformed"])
