"""Two organizations behind one API: figures as exports have them, nothing of the other, requests."""

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import answers
from metering.catalogue.meters import COUNTER_NAMES
from metering.catalogue.periods import Day
from metering.db.transactions import read_snapshot
from metering.exports import csv_format
from metering.exports.export import Export
from metering.exports.write import write
from metering.months import explain, explanation
from metering.pricing import plans
from metering.running import spend
from tests.support.api_fuzz import Fuzz, leaks
from tests.support.api_site import Site
from tests.support.two_tenants import ORGANIZATION, PROJECTS


def every(client: httpx.Client, path: str, **parameters: Any) -> list[dict[str, Any]]:
    """Return the items of all pages."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get(path, params=parameters | cursor).raise_for_status().json()
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = {"cursor": page["next"]}


def as_exported(item: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether an item has the values of an exported row; a counter nobody looked at is null instead of 0."""
    shared = {name for name in item if name in row} - {"coverage", "created_at"}
    assert {"project_id", "mqtt_inbound", "tier"} <= shared
    texts = {name: csv_format.text_of(row[name]) for name in shared}
    for name in shared:
        unknown = item[name] is None and name in COUNTER_NAMES
        assert ("0" if unknown else csv_format.text_of(item[name])) == texts[name], name
    return True


def exported(site: Site, export: Export) -> list[dict[str, Any]]:
    with read_snapshot(site.engine) as connection:
        return [dict(zip(export.names, row, strict=True)) for row in export.rows(connection)]


def test_bills_and_days_are_those_of_the_exports(site: Site) -> None:
    client, month = site.clients["viewer"], site.tenants.closed
    bills = {item["project_id"]: item for item in every(client, f"/months/{month}", limit=3)}
    rows = exported(site, Export.for_month(month))
    assert len(bills) == len(rows) == 7
    assert all(as_exported(bills[row["project_id"]], row) for row in rows)
    assert all(isinstance(bill["total_charge"], str) for bill in bills.values())
    first, last = month.first, Day.of(datetime.now(UTC)).previous()
    project = site.tenants.project
    days = every(client, f"/projects/{project}/days", **{"from": first, "to": last, "limit": 7})
    rows = [row for row in exported(site, Export.for_days(first, last)) if row["project_id"] == project]
    assert len(days) == len(rows) > 30
    assert all(as_exported(day, row) for day, row in zip(days, rows, strict=True))
    fleet = every(client, "/days", date=month.last)
    assert [day["project_id"] for day in fleet] == sorted(bills)


def test_an_export_is_the_file_of_the_command_line(site: Site, tmp_path: Path) -> None:
    month = site.tenants.closed
    for form in ("csv", "json", "parquet"):
        answer = site.clients["viewer"].get("/exports/monthly", params={"month": str(month), "format": form})
        with read_snapshot(site.engine) as connection:
            write(connection, Export.for_month(month), form, tmp_path / form)
        assert answer.content == (tmp_path / form).read_bytes()


def test_money_is_that_of_the_commands(site: Site) -> None:
    client, month, at = site.clients["viewer"], site.tenants.closed, datetime.now(UTC)
    with read_snapshot(site.engine) as connection:
        spent = spend.by_project(connection, plans.load(None), at)
        explained = explanation.as_json(explain.explain(connection, site.tenants.project, month))
    items = every(client, "/spend", limit=2)
    assert [(item["project_id"], item["so_far"]) for item in items] == [
        (one.project_id, csv_format.text_of(one.so_far)) for one in spent
    ]
    answer = client.get(f"/projects/{site.tenants.project}/explain/{month}")
    assert answer.json() == json.loads(answers.to_json(explained))
    assert client.get(f"/projects/{site.tenants.project}/explain/2020-02").status_code == 404


def test_limits_say_what_is_used_included_and_left(site: Site) -> None:
    client, project = site.clients["own viewer"], site.tenants.project
    limits = {item["meter"]: item for item in every(client, f"/projects/{project}/limits")}
    check = client.get("/limits/check", params={"check": "mqtt_inbound", "project": project}).json()
    assert check == {"check": "mqtt_inbound"} | limits["mqtt_inbound"]
    assert check["used"] + check["remaining"] == check["included"]
    assert limits["sessions"]["used"] is None
    storage = {"check": "storage", "project": project, "bytes": 10**18}
    answer = client.get("/limits/check", params=storage).json()
    assert set(answer) >= {"used", "included", "remaining", "allowed", "why"}
    own = every(client, f"/organizations/{site.tenants.organization}/limits")
    assert [item["meter"] for item in own] == ["projects", "users"]
    assert client.get("/limits/check", params=storage | {"project": PROJECTS[0]}).status_code == 404
    assert client.get(f"/organizations/{ORGANIZATION}/limits").status_code == 404


def test_a_check_takes_what_it_asks_about(site: Site) -> None:
    client, tenants = site.clients["viewer"], site.tenants
    storage = {"check": "storage", "project": tenants.project}
    for question, status in (
        (storage | {"bytes": 5, "organization": tenants.organization}, 200),
        (storage | {"count": 5}, 422),
        ({"check": "device", "project": tenants.project, "bytes": 5}, 422),
        ({"check": "user", "organization": tenants.organization, "count": 5}, 200),
        ({"check": "user", "organization": tenants.organization, "project": tenants.project}, 200),
        ({"check": "user", "organization": ORGANIZATION, "project": tenants.project}, 404),
        (storage | {"organization": ORGANIZATION}, 404),
        ({"check": "storage", "organization": tenants.organization}, 422),
    ):
        assert client.get("/limits/check", params=question).status_code == status, question


def test_a_run_is_asked_for_once_and_cancelled(site: Site) -> None:
    client, own = site.clients["admin"], site.clients["own admin"]
    accepted = client.post("/runs", json={"job": "anomalies", "dry_run": True})
    assert accepted.status_code == 202
    run = accepted.json()
    assert accepted.headers["location"] == f"/api/v1/runs/{run['id']}"
    assert (run["state"], run["requested_by"]) == ("queued", "admin")
    assert client.post("/runs", json={"job": "anomalies", "dry_run": True}).json()["id"] == run["id"]
    assert own.post(f"/runs/{run['id']}/cancel").status_code == 404
    assert client.post(f"/runs/{run['id']}/cancel").json()["state"] == "cancelled"
    assert client.post(f"/runs/{run['id']}/cancel").status_code == 409
    again = client.post(f"/runs/{run['id']}/retry").json()
    assert again["id"] > run["id"]
    client.post(f"/runs/{again['id']}/cancel")
    noted = every(client, "/audit", actor="admin", subject=f"run {run['id']}")
    assert [entry["action"] for entry in noted] == ["retry", "cancel"]
    assert client.post("/runs", json={"job": "hourly", "at": "2999-01-01"}).status_code == 422
    assert site.clients["viewer"].post("/runs", json={"job": "hourly"}).status_code == 403


def test_days_are_for_a_backfill_and_under_their_names(site: Site) -> None:
    client = site.clients["admin"]
    days = {"from": "2026-01-01", "to": "2026-01-02"}
    for body in (
        {"job": "hourly"} | days,
        {"job": "hourly", "from": "2026-01-01"},
        {"job": "backfill", "from": "2026-01-01"},
        {"job": "backfill", "first": "2026-01-01", "last": "2026-01-02"},
    ):
        assert client.post("/runs", json=body | {"dry_run": True}).status_code == 422, body


def test_an_organization_asks_for_runs_of_its_own_projects(site: Site) -> None:
    own, project = site.clients["own admin"], site.tenants.project
    assert own.post("/runs", json={"job": "hourly"}).status_code == 403
    assert own.post("/runs", json={"job": "hourly", "project_id": PROJECTS[0]}).status_code == 404
    run = own.post("/runs", json={"job": "hourly", "project_id": project}).json()
    assert own.get(f"/runs/{run['id']}").json()["project_id"] == project
    assert {item["project_id"] for item in every(own, "/runs")} == {project}
    assert {entry["actor"] for entry in every(own, "/audit")} <= {"own admin", "migrate"}
    own.post(f"/runs/{run['id']}/cancel")


def test_a_correction_is_posted_once_for_its_key(site: Site) -> None:
    client, project = site.clients["admin"], site.tenants.project
    body = {
        "project_id": project,
        "amount": "-1.25",
        "usage_date": str(site.tenants.closed.last),
        "reason": "goodwill",
    }
    key = {"Idempotency-Key": "order-1"}
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post("/adjustments", json=body, headers=key), range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.headers.get("idempotency-replayed", "") for answer in answers) == ["", *["true"] * 3]
    other = client.post("/adjustments", json=body | {"amount": "-2.00"}, headers=key)
    assert other.status_code == 409
    listed = [one for one in every(client, "/adjustments", project_id=project) if one["reason"] == "goodwill"]
    assert [(one["amount"], one["actor"]) for one in listed] == [("-1.25", "admin")]
    refused = client.post("/adjustments", json=body | {"amount": "-1.255"})
    assert (refused.status_code, "smallest amount" in refused.json()["detail"]) == (422, True)
    assert site.clients["own admin"].post("/adjustments", json=body).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"job": NaN}',
        b'{"job": "hourly", "project_id": 1e30}',
        b'{"job": "hourly", "project_id": 1000000000000000000000000000000}',
        b'{"job": "hourly", "project_id": ' + b"9" * 5_000 + b"}",
        b'{"job": "\\ud800"}',
        b'{"job": "hourly\\u0000"}',
        '{"job": "\u202ehourly"}'.encode(),
        b"\xff\xfe",
        b"",
        b"null",
    ],
)
def test_a_hostile_body_is_refused_with_a_sentence(site: Site, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    answer = site.clients["admin"].post("/runs", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert "set_int_max_str_digits" not in answer.text  # a hint of Python's for programmers


def test_a_large_body_is_refused_before_it_is_read(site: Site) -> None:
    chunks = (b"x" * 65_536 for _ in range(200))
    answer = site.clients["admin"].post("/runs", content=chunks)
    assert answer.status_code == 413
    assert site.clients["admin"].post("/runs", content=b"x" * 9_000_000).status_code == 413


def test_answers_are_compressed_for_who_takes_it(site: Site) -> None:
    with raw(site) as client:
        plain = client.get("/days", headers={"Accept-Encoding": "identity"})
        packed = client.get("/days", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["etag"] == packed.headers["etag"]
    assert gzip.compress(plain.content)[:2] == b"\x1f\x8b"
    assert packed.json() == plain.json()


@contextmanager
def raw(site: Site) -> Iterator[httpx.Client]:
    bearer = {"Authorization": f"Bearer {site.tokens['viewer']}"}
    with httpx.Client(base_url=f"{site.address}/api/v1", headers=bearer) as client:
        yield client


def test_nothing_of_another_organization_is_in_any_answer(site: Site) -> None:
    look(site, 300)


@pytest.mark.drill
def test_nothing_of_another_organization_is_in_ten_thousand_answers(site: Site) -> None:
    look(site, 10_000)


def look(site: Site, requests: int) -> None:
    """Five tokens ask at random; those of one organization never read a byte of the other's."""
    fuzz, names = Fuzz(site.tenants, seed=20), list(site.clients)
    statuses: dict[int, int] = {}
    for number in range(requests):
        name = names[number % len(names)]
        request, answer, received = fuzz.request(site.clients[name])
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        assert answer.status_code < 500, (request, answer.text)
        hidden = site.tenants.hidden_from(name.partition(" ")[0])
        assert leaks(request, received, hidden) == [], (name, request)
    assert statuses[200] > requests / 10
    print(f"{requests:,} requests by {len(names)} tokens, by status: {dict(sorted(statuses.items()))}")
