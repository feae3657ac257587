"""Projects over HTTP: pages, one project live, who may see which, and what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
from sqlalchemy import Engine, text

from metering.catalogue import projects
from tests.integration.api.conftest import Connect
from tests.support import api_server
from tests.support.platform import Platform


def test_a_project_and_its_unknown_counters(connect: Connect, platform: Platform) -> None:
    project = platform.project(platform.organization("starter"), name="north")
    answer = connect("viewer").get(f"/projects/{project}")
    assert answer.status_code == 200
    body = answer.json()
    assert body["id"] == project
    assert (body["name"], body["tier"], body["is_active"]) == ("north", "starter", True)
    assert body["mqtt_inbound"] is None
    assert set(body["lifetime"].values()) == {None}
    assert body["age_seconds"] == {"mqtt": None, "platform_db": None, "s3": None, "ecr": None}


def test_a_lifetime_is_unknown_until_its_source_has_looked(
    engine: Engine, connect: Connect, platform: Platform
) -> None:
    project = platform.project(platform.organization("starter"))
    with engine.begin() as connection:
        projects.ensure(connection, [project], datetime.now(UTC))
        connection.execute(text("UPDATE project_stats SET s3_measured_at = now(), mqtt_measured_at = now()"))
    lifetime = connect("viewer").get(f"/projects/{project}").json()["lifetime"]
    assert (lifetime["mqtt_inbound"], lifetime["api_calls"]) == (0, None)
    with engine.begin() as connection:
        connection.execute(text("UPDATE project_stats SET lifetime_api_calls = 5"))
    assert connect("viewer").get(f"/projects/{project}").json()["lifetime"]["api_calls"] == 5


def test_pages_are_stable_while_rows_are_added(connect: Connect, platform: Platform) -> None:
    organization = platform.organization()
    projects = [platform.project(organization) for _ in range(5)]
    client = connect("viewer")
    first = client.get("/projects", params={"limit": 2}).json()
    assert [item["id"] for item in first["items"]] == projects[:2]
    later = platform.project(organization)
    rest, cursor = [], first["next"]
    while cursor:
        page = client.get("/projects", params={"limit": 2, "cursor": cursor}).json()
        rest += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert rest == [*projects[2:], later]
    other = client.get("/projects", params={"is_active": "true", "cursor": first["next"]})
    assert other.status_code == 422


def test_an_organization_sees_its_own_projects_only(connect: Connect, platform: Platform) -> None:
    own, other = platform.organization(), platform.organization()
    mine, theirs = platform.project(own), platform.project(other)
    client = connect("viewer", own)
    assert [item["id"] for item in client.get("/projects").json()["items"]] == [mine]
    unknown = client.get("/projects/999999999")
    hidden = client.get(f"/projects/{theirs}")
    assert unknown.status_code == hidden.status_code == 404
    assert hidden.json()["detail"] == unknown.json()["detail"].replace("999999999", str(theirs))
    assert client.get("/projects", params={"organization_id": other}).status_code == 404


def test_a_token_counts_until_revoked_or_expired(address: str, connect: Connect, engine: Engine) -> None:
    assert httpx.get(f"{address}/api/v1/projects").headers["www-authenticate"].startswith("Bearer")
    client = connect("viewer")
    assert client.get("/projects").status_code == 200
    for change in ("revoked_at = now()", "revoked_at = NULL, expires_at = now() - interval '1 second'"):
        with engine.begin() as connection:
            connection.execute(text(f"UPDATE tokens SET {change}"))
        refused = client.get("/projects")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
    wrong = api_server.client(address, "fleetmeter_1_" + "x" * 43)
    assert wrong.get("/projects", params={"limit": "many"}).status_code == 401
    assert wrong.get("/projects").status_code == 401


def test_what_is_wrong_is_said_as_a_problem(connect: Connect) -> None:
    client = connect("viewer")
    for path, status in (
        ("/projects/0", 422),
        ("/projects/nobody", 422),
        (f"/projects/{10**30}", 422),
        ("/projects?limit=0", 422),
        ("/projects?limt=5", 422),
        ("/projects?limit=5&limit=6", 422),
        ("/projects?cursor=%00", 422),
        ("/nothing", 404),
    ):
        answer = client.get(path)
        assert (path, answer.status_code) == (path, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
    assert client.delete("/projects").status_code == 405


def test_the_same_answer_is_not_sent_twice(connect: Connect, platform: Platform, at: datetime) -> None:
    project = platform.project()
    client = connect("viewer")
    first = client.get(f"/projects/{project}", headers={"X-Request-ID": "mine-1"})
    assert first.headers["x-request-id"] == "mine-1"
    again = client.get(f"/projects/{project}", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    packed = client.get("/projects", headers={"Accept": "text/csv"})
    assert packed.text.splitlines()[0] == "id,name,organization_id,tier,is_active"
    assert client.get("/projects", headers={"Accept": "image/png"}).status_code == 406


def test_a_project_without_a_price_is_named_and_has_no_charge(connect: Connect, platform: Platform) -> None:
    own, other = platform.organization("bespoke"), platform.organization("bespoke")
    mine, theirs = platform.project(own), platform.project(other)
    priced = platform.project(platform.organization("starter"))
    named = {"project_id": mine, "tier": "bespoke"}
    answer = connect("viewer", own).get("/spend").json()
    assert (answer["items"], answer["unpriced"]) == ([], [named])
    staff = connect("viewer")
    for query, items, unpriced in (
        ({}, [priced], [mine, theirs]),
        ({"organization_id": own}, [], [mine]),
        ({"project_id": theirs}, [], [theirs]),
    ):
        answer = staff.get("/spend", params=query).json()
        assert [item["project_id"] for item in answer["items"]] == items
        assert [one["project_id"] for one in answer["unpriced"]] == unpriced


def test_a_body_of_100_megabytes_is_refused_and_not_kept(address: str, connect: Connect) -> None:
    client = connect("operator")

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"[" * 2**20

    declared = {"Content-Length": str(100 * 2**20), "Content-Type": "application/json"}
    assert client.post("/usage", content=pieces()).status_code == 413
    assert client.post("/usage", headers=declared, content=pieces()).status_code == 413
    assert client.get("/projects").status_code == 200
