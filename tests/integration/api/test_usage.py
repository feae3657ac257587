"""Usage in: CloudEvents in every mode, counted once, each refusal with its code."""

import gzip
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from metering.catalogue.periods import Day
from metering.config.settings import Settings, load_settings
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.proof.verify import verify
from tests.support import api_server
from tests.support.platform import Platform

METERS = """
[meters.query_seconds]
unit = "seconds"
aggregation = "sum"
title = "Query time"
[meters.robots_online]
unit = "robots"
aggregation = "max"
"""
LARGEST = 2**63 - 1
Connect = Callable[..., httpx.Client]


@pytest.fixture
def configured(configured: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    (tmp_path / "meters.toml").write_text(METERS)
    monkeypatch.setenv("FLEETMETER_METERS", str(tmp_path / "meters.toml"))
    return load_settings()


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def organization(platform: Platform) -> int:
    return platform.organization("pro")


@pytest.fixture
def project(platform: Platform, organization: int, now: datetime) -> int:
    return platform.project(organization, created_at=(now - timedelta(days=3)).isoformat())


@pytest.fixture
def client(connect: Connect) -> Iterator[httpx.Client]:
    return connect("operator")


def event(project: int, id: str = "1", quantity: Any = 5, **more: Any) -> dict[str, Any]:
    attributes = {"specversion": "1.0", "id": id, "source": "urn:test", "type": "query_seconds"}
    return attributes | {"subject": str(project), "data": {"quantity": quantity}} | more


def send(client: httpx.Client, body: Any, kind: str = "cloudevents-batch", query: str = "") -> Any:
    headers = {"Content-Type": f"application/{kind}+json"}
    answer = client.post(f"/usage{query}", content=json.dumps(body), headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def counts(accepted: int = 0, duplicates: int = 0) -> dict[str, Any]:
    return {"accepted": accepted, "duplicates": duplicates, "refused": []}


def meters(engine: Engine, project: int) -> dict[str, int]:
    with engine.connect() as connection:
        cell: dict[str, int] = connection.scalar(
            text("SELECT meters FROM project_stats WHERE project_id = :id"), {"id": project}
        )
    return cell


def reasons(answer: Any) -> list[tuple[str | None, str]]:
    return [(refusal["id"], refusal["reason"]) for refusal in answer["refused"]]


def test_events_of_every_mode_count_once(engine: Engine, client: httpx.Client, project: int) -> None:
    assert send(client, event(project), "cloudevents") == counts(1)
    batch = [event(project), event(project, "2", 7), event(project, "2", 900), event(project, "3", 0)]
    assert send(client, batch) == counts(2, 2)
    assert client.post("/usage", json=[event(project, "3")]).json() == counts(0, 1)
    binary = {f"ce-{name}": value for name, value in event(project, "%C3%A9%204").items() if name != "data"}
    answer = client.post("/usage", json={"quantity": 11}, headers=binary)
    assert answer.json() == counts(1)
    largest = [event(project, f"m{n}", n, type="robots_online") for n in (3, 9, 4)]
    assert send(client, [*largest, event(project, "q", 2, type="mqtt_inbound")]) == counts(4)
    assert meters(engine, project) == {"query_seconds": 23, "robots_online": 9}
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT mqtt_inbound FROM project_stats")) == 2
        assert connection.scalar(text("SELECT count(*) FROM usage_events WHERE id = 'é 4'")) == 1
    assert verify(engine).discrepancies == []


def test_each_refusal_has_a_code_and_stops_no_other_event(
    engine: Engine, client: httpx.Client, project: int, now: datetime
) -> None:
    wrong = {
        "not_an_event": [3],
        "invalid_specversion": [event(project, specversion="0.3")],
        "invalid_source": [event(project, source=source) for source in ("", None, "a b", "x" * 1025)],
        "invalid_id": [event(project, id=id) for id in ("", None, 5, "a\x00")],
        "unknown_meter": [event(project, type=name) for name in (None, "clicks", 7)],
        "not_reportable": [event(project, type=name) for name in ("api_calls", "storage_bytes")],
        "invalid_subject": [event(project, subject=project)],
        "unknown_project": [event(project, subject=name) for name in ("999", "-1", "0x1", "9" * 30, "")],
        "invalid_time": [
            event(project, time=time) for time in ("yesterday", "2026-11-27", 5, "2026-11-27T10:00:00")
        ],
        "future": [event(project, time=(now + timedelta(minutes=5)).isoformat())],
        "before_creation": [event(project, time=(now - timedelta(days=9)).isoformat())],
        "invalid_data": [event(project, data=data) for data in (None, [], {}, "5")],
        "invalid_quantity": [event(project, quantity=q) for q in ("5", None, 1.5, True, "NaN")],
        "negative_quantity": [event(project, quantity=-1)],
        "quantity_too_large": [event(project, quantity=q) for q in (2**63, 10**30, 1e30)],
    }
    batch = [one for events in wrong.values() for one in events]
    answer = send(client, [*batch, event(project, "right", 5.0)])
    assert answer["accepted"] == 1
    assert [reason for _, reason in reasons(answer)] == [why for why, events in wrong.items() for _ in events]
    assert all(refusal["detail"] for refusal in answer["refused"])
    assert meters(engine, project) == {"query_seconds": 5}


def test_a_total_beyond_64_bits_is_refused_for_its_project_only(
    engine: Engine, client: httpx.Client, platform: Platform, organization: int, project: int
) -> None:
    other = platform.project(organization, created_at="2026-01-01")
    batch = [
        event(project, "a", LARGEST),
        event(project, "b", 1),
        event(other, "c", 4),
        event(project, "b", 1),
    ]
    answer = send(client, batch)
    assert answer["accepted"] == 2
    assert reasons(answer) == [("b", "total_too_large"), ("b", "total_too_large")]
    assert send(client, [event(project, "a", LARGEST), event(project, "z", 0)]) == counts(1, 1)
    assert meters(engine, project) == {"query_seconds": LARGEST}
    assert meters(engine, other) == {"query_seconds": 4}
    assert verify(engine).discrepancies == []


def test_late_usage_counts_until_its_day_is_sealed_and_then_adjusts(
    engine: Engine, client: httpx.Client, project: int, now: datetime
) -> None:
    yesterday = now - timedelta(days=1)
    late = {"time": yesterday.isoformat()}
    assert send(client, event(project, "before", 5, **late), "cloudevents") == counts(1)
    with transaction(engine) as connection:
        seal_through(connection, Day.of(yesterday), [project], now)
    assert reasons(send(client, [event(project, "after", 8, **late)])) == [("after", "too_late")]
    assert send(client, [event(project, "before", 5, **late)]) == counts(0, 1)
    batch = [event(project, "after", 8, **late), event(project, "more", 2, **late)]
    assert send(client, batch, query="?late=adjust") == counts(2)
    assert send(client, batch, query="?late=adjust") == counts(0, 2)
    with engine.connect() as connection:
        day = connection.scalar(
            text("SELECT meters FROM daily_stats WHERE date = :day"), {"day": yesterday.date()}
        )
        adjustments = connection.execute(text("SELECT kind, meter, quantity, amount FROM adjustments")).all()
    assert day == {"query_seconds": 5}
    assert adjustments == [("late_usage", "query_seconds", 10, None)]
    assert verify(engine).discrepancies == []


def test_a_customer_reports_only_for_its_own_projects_and_blocks_nobody(
    engine: Engine, connect: Connect, platform: Platform, organization: int, project: int
) -> None:
    other = platform.organization("pro")
    foreign = platform.project(other, created_at="2026-01-01")
    own, theirs, platforms = (
        connect("operator", organization),
        connect("operator", other),
        connect("operator"),
    )
    unknown = send(own, [event(foreign), event(9_999_999)])["refused"]
    assert {(refusal["reason"], refusal["detail"]) for refusal in unknown} == {
        ("unknown_project", "subject names no project that this token may report for")
    }
    assert send(own, [event(project)]) == counts(1)
    assert send(theirs, [event(foreign)]) == counts(1)
    assert send(platforms, [event(foreign)]) == counts(1)
    assert send(own, [event(project)]) == counts(0, 1)
    assert meters(engine, foreign) == {"query_seconds": 10}
    assert connect("viewer").post("/usage", json=event(project)).status_code == 403


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ('"id": "\\ud800", "data": {"quantity": 1}', "invalid_id"),
        ('"data": {"quantity": 1e9999999999999999999}', "invalid_quantity"),
        ('"data": {"quantity": 1e-9999999999999999999}', "invalid_quantity"),
        ('"data": {"quantity": 1e-999999999999999999}', "invalid_quantity"),
        ('"data": {"quantity": 1e999999999999999999}', "quantity_too_large"),
        ('"data": {"quantity": ' + "9" * 5_000 + "}", "quantity_too_large"),
        ('"data": {"quantity": -' + "9" * 5_000 + "}", "negative_quantity"),
        ('"id": ' + "9" * 5_000 + ', "data": {"quantity": 1}', "invalid_id"),
    ],
)
def test_a_value_that_no_column_holds_is_refused_for_its_event_only(
    engine: Engine, client: httpx.Client, project: int, written: str, reason: str
) -> None:
    poisoned = json.dumps(event(project, "bad"))[:-1] + f", {written}}}"
    body = f"[{poisoned}, {json.dumps(event(project, 'good', 7))}]"
    response = client.post("/usage", content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["accepted"], [why for _, why in reasons(answer)]) == (1, [reason])
    assert meters(engine, project) == {"query_seconds": 7}


@pytest.mark.parametrize("kind", ["application/json", "application/vnd.acme+json; v=1", "text/json"])
def test_the_data_of_a_binary_event_is_any_json(client: httpx.Client, project: int, kind: str) -> None:
    headers = {f"ce-{name}": value for name, value in event(project).items() if name != "data"}
    answer = client.post("/usage", content=b'{"quantity": 1}', headers=headers | {"Content-Type": kind})
    assert answer.json() == counts(1)
    refused = client.post("/usage", content=b"1", headers=headers | {"Content-Type": "text/plain"})
    assert refused.status_code == 415


def test_a_compressed_body_is_refused(client: httpx.Client, project: int) -> None:
    packed = gzip.compress(json.dumps(event(project)).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = client.post("/usage", content=packed, headers=headers)
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")
    assert client.post("/runs", content=packed, headers=headers).status_code == 415


def test_a_key_belongs_to_the_event_that_the_headers_hold(
    engine: Engine, client: httpx.Client, project: int
) -> None:
    def binary(id: str) -> httpx.Response:
        attributes = {name: value for name, value in event(project, id).items() if name != "data"}
        headers = {f"ce-{name}": value for name, value in attributes.items()}
        return client.post("/usage", json={"quantity": 5}, headers=headers | {"Idempotency-Key": "one"})

    assert binary("k1").json() == counts(1)
    again, other = binary("k1"), binary("k2")
    assert (again.headers["idempotency-replayed"], again.json()) == ("true", counts(1))
    assert other.status_code == 409
    assert meters(engine, project) == {"query_seconds": 5}


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"data": NaN}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"7", "application/cloudevents+json", 400),
        (b"[]", "application/cloudevents+json", 400),
        (b"{}", "application/cloudevents-batch+json", 400),
        (b"{}", "text/plain", 415),
        (b"{}", "application/vnd.acme+json", 415),
        (b"[" + b",".join([b"1"] * 1001) + b"]", "application/json", 413),
    ],
)
def test_what_is_no_batch_of_events_is_refused_whole(
    client: httpx.Client, body: bytes, kind: str, status: int
) -> None:
    answer = client.post("/usage", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert client.post("/usage", json=[]).json() == counts()


def test_a_request_that_counted_something_is_in_the_audit_log(
    connect: Connect, organization: int, project: int
) -> None:
    own, staff = connect("operator", organization), connect("viewer")
    assert send(own, [event(project), event(project), event(project, "2", -1)])["accepted"] == 1
    assert send(own, [event(project)]) == counts(0, 1)
    entries = staff.get("/audit?action=report%20usage").json()["items"]
    assert [entry["after"] for entry in entries] == [{"accepted": 1, "duplicates": 1, "refused": 1}]
    assert entries[0]["actor"].startswith("test ")
    assert own.get("/audit?action=report%20usage").json()["items"] == entries
    assert connect("viewer", organization).get("/audit?action=report%20usage").json()["items"] == entries


def test_an_own_meter_is_checked_and_has_a_lifetime(
    engine: Engine, client: httpx.Client, project: int
) -> None:
    assert send(client, [event(project, quantity=40)]) == counts(1)
    with engine.begin() as connection:
        connection.execute(text("""UPDATE project_stats SET lifetime_meters = '{"query_seconds": 7}'"""))
    assert client.get(f"/projects/{project}").json()["lifetime_meters"] == {"query_seconds": 7}
    question: dict[str, Any] = {"check": "query_seconds", "project": project}
    answer = client.get("/limits/check", params=question | {"count": 5}).json()
    assert (answer["check"], answer["used"], answer["allowed"]) == ("query_seconds", 40, True)
    assert client.get("/limits/check", params=question | {"bytes": 5}).status_code == 422
    assert client.get("/limits/check", params=question | {"check": "query_minutes"}).status_code == 422
    assert client.get("/limits/check", params={"check": "query_seconds"}).status_code == 422


def test_clients_that_send_the_same_events_at_once_count_them_once(
    engine: Engine, address: str, platform: Platform, organization: int, project: int
) -> None:
    more = [project, *(platform.project(organization, created_at="2026-01-01") for _ in range(4))]
    token = api_server.new_token(engine, "operator")
    batches = [[event(more[n % 5], f"{b}-{n}", 1) for n in range(20)] for b in range(6)]

    def run(number: int) -> list[Any]:
        with api_server.client(address, token) as client:
            order = batches if number % 2 else batches[::-1]
            return [send(client, batch if number < 2 else batch[::-1]) for batch in order]

    with ThreadPoolExecutor(4) as pool:
        answers = [answer for answers in pool.map(run, range(4)) for answer in answers]
    assert sum(answer["accepted"] for answer in answers) == 120
    assert sum(answer["duplicates"] for answer in answers) == 360
    assert [meters(engine, one) for one in more] == [{"query_seconds": 24}] * 5
    assert verify(engine).discrepancies == []
