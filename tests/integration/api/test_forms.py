"""JSON and CSV have the same fields, and they are those that OpenAPI describes."""

import csv
import io
import json
from typing import Any

import httpx
import pytest

from tests.support.api_paths import PATHS, address
from tests.support.api_site import Site

WITHOUT_CSV = ("/projects/{project_id}/explain/{month}",)
LISTS = [path for path in PATHS if path not in (*WITHOUT_CSV, "/exports/monthly")]


def description(site: Site) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.get(f"{site.address}/api/v1/openapi.json").raise_for_status().json()
    return answer


def described(site: Site, path: str, method: str = "get", status: str = "200") -> dict[str, Any]:
    """Return the schema of an answer, and of its rows where it is a list."""
    schema = description(site)
    operation = schema["paths"][f"/api/v1{path}"][method]
    part = operation["responses"][status]["content"]["application/json"]["schema"]
    return resolved(schema, part)


def resolved(schema: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    named: dict[str, Any] = schema["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    properties = named["properties"]
    items = properties.get("items", {}).get("items", {})
    rows = resolved(schema, items)["row"] if "$ref" in items else set(properties)
    return {"body": set(properties), "row": rows}


def test_every_address_that_is_read_is_tried(site: Site) -> None:
    paths = description(site)["paths"]
    read = {path.removeprefix("/api/v1") for path, methods in paths.items() if "get" in methods}
    assert read == set(PATHS)
    forms = {
        path: paths[f"/api/v1{path}"]["get"]["responses"]["200"]["content"].keys() for path in sorted(read)
    }
    assert [path for path, kinds in forms.items() if "text/csv" not in kinds] == list(WITHOUT_CSV)


@pytest.mark.parametrize("path", [path for path in PATHS if path != "/exports/monthly"])
def test_what_is_sent_is_described(site: Site, path: str) -> None:
    body = site.clients["viewer"].get(address(path, site.tenants)).raise_for_status().json()
    schema = described(site, path)
    assert set(body) == schema["body"]
    assert all(set(row) == schema["row"] for row in body.get("items", []))


def test_what_a_request_is_answered_with_is_described(site: Site) -> None:
    client, project = site.clients["admin"], site.tenants.project
    run = client.post("/runs", json={"job": "anomalies", "dry_run": True}).json()
    client.post(f"/runs/{run['id']}/cancel")
    receipt = client.post("/usage", json=[{"id": "1"}]).json()
    adjustment = {"project_id": project, "amount": "1.00", "reason": "described"}
    answer = client.post("/adjustments", json=adjustment | {"usage_date": str(site.tenants.closed.last)})
    assert set(run) == described(site, "/runs", "post", "202")["body"]
    assert set(answer.json()) == described(site, "/adjustments", "post", "201")["body"]
    schema = described(site, "/usage", "post")
    assert set(receipt) == schema["body"]
    refusal = description(site)["components"]["schemas"]["RefusedEvent"]["properties"]
    assert set(receipt["refused"][0]) == set(refusal)


@pytest.mark.parametrize("path", LISTS)
def test_a_csv_has_the_fields_of_the_json(site: Site, path: str) -> None:
    client, url = site.clients["viewer"], address(path, site.tenants)
    body = client.get(url).raise_for_status().json()
    answer = client.get(url, headers={"Accept": "text/csv"}).raise_for_status()
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text)))
    items = body.get("items", [body])
    assert set(rows[0]) == (set(items[0]) if items else described(site, path)["row"])
    assert len(rows) == len(items) + 1
    cells = {cell for row in rows for cell in row}
    assert cells & {"True", "False", "None"} == set()
    for row, item in zip(rows[1:], items, strict=True):
        for name, cell in zip(rows[0], row, strict=True):
            if isinstance(item[name], bool | dict | list):
                assert json.loads(cell) == item[name] or "age_seconds" in name


def test_headers_of_answers_are_described(site: Site) -> None:
    paths = description(site)["paths"]
    listed = paths["/api/v1/projects"]["get"]["responses"]
    assert {"ETag", "Link", "X-Request-ID"} <= set(listed["200"]["headers"])
    assert "ETag" in listed["304"]["headers"]
    usage = paths["/api/v1/usage"]["post"]
    assert "Idempotency-Replayed" in usage["responses"]["200"]["headers"]
    assert {"ce-id", "ce-source", "ce-specversion"} <= {one["name"] for one in usage["parameters"]}
    assert "application/json" in usage["requestBody"]["content"]
    assert "Retry-After" in description(site)["components"]["responses"]["429"]["headers"]
