"""One cause is one incident: it opens, escalates and resolves once, with a sentence, a history and a cost."""

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from metering.alerts import alerts, anomalies, incidents, thresholds, titles
from metering.alerts.alerts import Changes
from metering.alerts.anomalies import Anomaly
from metering.alerts.incidents import Incident
from metering.catalogue import projects
from metering.catalogue.periods import Day
from metering.db import audit_log
from metering.db.scope import limit
from metering.db.transactions import transaction
from metering.errors import BudgetRefused
from metering.ledger.partitions import ensure_partitions
from metering.organizations import budgets
from metering.pricing import plans
from metering.runs import lease, requests
from metering.runs.requests import Request
from tests.support.platform import Platform, hours

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
TODAY = Day.of(AT).start
PLANS = """
[[versions]]
effective = 2024-01-01
currency = "EUR"
[versions.tiers.free]
projects = 5
fee = 10
[versions.tiers.free.meters.logs]
included = 100
limit = "soft"
overage = { model = "per_unit", price = 0.5 }
[versions.tiers.free.meters.mqtt_inbound]
included = 1000
limit = "hard"
"""
Look = Callable[..., Changes]


@pytest.fixture
def offered(tmp_path: Path) -> plans.Plans:
    path = tmp_path / "plans.toml"
    path.write_text(PLANS)
    return plans.load(path)


@pytest.fixture
def look(engine: Engine, offered: plans.Plans) -> Look:
    def look(at: datetime = AT) -> Changes:
        with transaction(engine) as connection:
            return alerts.refresh(connection, at, offered)

    return look


def read(engine: Engine, **filters: Any) -> list[Incident]:
    with transaction(engine) as connection:
        return incidents.read(connection, **filters)


def use(engine: Engine, project: int, at: datetime = AT, **counts: int) -> None:
    ensure_partitions(engine, at)
    with transaction(engine) as connection:
        projects.ensure(connection, [project], at)
        columns = ", ".join(f"{name} = {count}" for name, count in counts.items())
        connection.execute(
            text(f"""UPDATE project_stats SET {columns}, platform_db_measured_at = :at,
                mqtt_measured_at = :at WHERE project_id = :id"""),
            {"at": at, "id": project},
        )


def refreshed(engine: Engine, errors: list[dict[str, Any]], project: int | None = None) -> int:
    """An hourly refresh that ended with these failures."""
    with transaction(engine) as connection:
        request = Request("hourly", "p", datetime.now(UTC), "console", "somebody", project)
        run_id = requests.enqueue(connection, request)
        run = lease.claim(connection, "one", run_id)
        assert run
        lease.finish(connection, run, "succeeded", {}, errors)
        return run.id


def denied(project: int | None, source: str = "s3") -> dict[str, Any]:
    error = f"{source}: access denied to the bucket robots; grant what deploy/iam lists"
    return {"project_id": project, "error": error, "passing": False, "source": source, "kind": "denied"}


def test_a_limit_is_one_incident_that_escalates_and_is_no_longer_acknowledged(
    engine: Engine, platform: Platform, look: Look
) -> None:
    project = platform.project(created_at=TODAY)
    use(engine, project, mqtt_inbound=800)
    assert (look(), look()) == (Changes(1, 0), Changes(0, 0))
    (near,) = read(engine)
    with transaction(engine) as connection:
        alerts.acknowledge(connection, near.id, "ada", "told them")
    use(engine, project, mqtt_inbound=4980)
    assert (look(AT + hours(1)), look(AT + hours(1))) == (Changes(0, 0), Changes(0, 0))
    (passed,) = read(engine)
    assert (passed.id, passed.severity, passed.acknowledged_by) == (near.id, "critical", None)
    name = platform.scalar("SELECT name FROM projects")
    assert near.title == f"{name}: 80 % of MQTT messages in (hard limit)"
    assert passed.title == f"{name}: 498 % of MQTT messages in (hard limit, not enforced: still counting)"
    with transaction(engine) as connection:
        events = [(one["event"], one["what"], one["note"]) for one in incidents.history(connection, passed)]
    assert sorted(events, key=str) == [
        ("acknowledged", None, "told them"),
        ("escalated", "critical at 100 %", None),
        ("opened", "warning at 80 %", None),
    ]


def test_acknowledgements_of_an_alert_are_found_by_its_id(
    engine: Engine, platform: Platform, look: Look
) -> None:
    use(engine, platform.project(created_at=TODAY), mqtt_inbound=800)
    look()
    (incident,) = read(engine)
    with transaction(engine) as connection:
        for alert, note in ((incident.id, "of version 0.1"), (incident.id * 10, "of another alert")):
            audit_log.record(connection, "bob", "acknowledge", f"alert {alert}: limit 80", reason=note)
        named = {"alert": incident.id}
        audit_log.record(
            connection, "eve", "acknowledge", "in other words", None, named, "of the next version"
        )
        alerts.acknowledge(connection, incident.id, "ada", "told them")
        notes = [one["note"] for one in incidents.history(connection, incident) if one["actor"]]
    assert notes == ["of version 0.1", "of the next version", "told them"]


def test_a_level_that_rises_and_falls_escalates_once(engine: Engine, platform: Platform, look: Look) -> None:
    project = platform.project(created_at=TODAY)
    for used in (90, 100, 90, 100):
        use(engine, project, logs=used)
        look()
    (incident,) = read(engine)
    assert [entry["event"] for entry in incident.history] == ["opened", "escalated"]


def test_a_soft_limit_says_what_it_costs_so_far(
    engine: Engine, platform: Platform, look: Look, offered: plans.Plans
) -> None:
    project = platform.project(created_at=TODAY)
    use(engine, project, logs=130)
    ensure_partitions(engine, AT)
    platform.sql(
        "INSERT INTO usage_hourly (project_id, hour, logs) VALUES (:id, :hour, 130)", id=project, hour=TODAY
    )
    look()
    with transaction(engine) as connection:
        (incident,) = incidents.with_costs(connection, offered, AT, incidents.read(connection))
    assert (incident.cost, incident.currency, incident.has_cost) == (Decimal("15.00"), "EUR", True)
    assert incident.title.endswith("130 % of Log entries (more is charged)")


def test_a_source_that_one_project_lacks_is_one_incident_until_it_is_read(
    engine: Engine, platform: Platform, look: Look
) -> None:
    now = datetime.now(UTC)
    one, other = platform.project(created_at=now), platform.project(created_at=now)
    refreshed(engine, [denied(one)])
    look(now)
    refreshed(engine, [denied(one), denied(other)])
    look(now)
    open_incidents = read(engine)
    assert {(incident.kind, incident.project_id) for incident in open_incidents} == {
        ("source_failed", one),
        ("source_failed", other),
    }
    assert {incident.title.partition(": ")[2] for incident in open_incidents} == {"S3 access denied"}
    refreshed(engine, [], project=other)  # "read S3 now" for one project
    assert look(now) == Changes(0, 1)
    refreshed(engine, [])
    assert look(now) == Changes(0, 1)
    assert read(engine) == []


def test_a_source_that_fails_for_the_fleet_is_one_incident(
    engine: Engine, platform: Platform, look: Look
) -> None:
    ids = [platform.project(created_at=datetime.now(UTC)) for _ in range(7)]
    refreshed(engine, [*map(denied, ids), denied(None, "ecr")])
    look(datetime.now(UTC))
    assert sorted(incident.title for incident in read(engine)) == [
        "ECR access denied",
        "S3 access denied for 7 projects",
    ]


def test_an_organization_does_not_read_the_reason_of_a_failed_source(
    engine: Engine, platform: Platform, look: Look
) -> None:
    organization = platform.organization()
    project = platform.project(organization, created_at=datetime.now(UTC))
    refreshed(engine, [denied(project)])
    look(datetime.now(UTC))
    with transaction(engine) as connection:
        limit(connection, (organization,))
        (incident,) = incidents.read(connection)
    assert "error" not in incident.detail
    assert incident.title.endswith("S3 access denied")


def test_an_unusual_day_is_one_incident_with_all_its_meters(engine: Engine, platform: Platform) -> None:
    project = platform.project()
    day = date(2026, 11, 22)
    unusual = [
        Anomaly(project, "logs", day, 10, 20, 25),
        Anomaly(project, "docker_download_bytes", day, 179_348_993, 314_785_079, 2_051_650_440),
        Anomaly(project, "api_calls", day, 10, 20, 5),
    ]
    with transaction(engine) as connection:
        assert [anomalies._open(connection, unusual, AT) for _ in range(2)] == [1, 0]
    (incident,) = read(engine)
    assert [part["meter"] for part in incident.detail["meters"]] == [
        *("docker_download_bytes", "api_calls", "logs"),
    ]
    assert incident.title.endswith(
        "Docker download 2.1 GB on Sun 22 Nov, 6.5× the usual 0.18–0.31 GB; 2 more meters out of range"
    )


def test_many_projects_without_a_day_are_one_incident(platform: Platform, engine: Engine, look: Look) -> None:
    for _ in range(6):
        platform.project(created_at=TODAY - hours(48))
    look()
    (incident,) = [one for one in read(engine) if one.kind == "snapshot_missing"]
    assert incident.title == "12 daily snapshots missing in 6 projects, 22–23 Nov"


def test_own_thresholds_of_a_customer_come_before_the_default(
    engine: Engine, platform: Platform, look: Look
) -> None:
    own, other = platform.project(created_at=TODAY), platform.project(created_at=TODAY)
    organization = platform.scalar("SELECT organization_id FROM projects WHERE id = :id", id=own)
    with transaction(engine) as connection:
        thresholds.save(connection, organization, None, [90], "ada")
        thresholds.save(connection, organization, "logs", [120, 50], "ada")
    for project in (own, other):
        use(engine, project, logs=60, mqtt_inbound=850)
    look()
    limits = {(one.project_id, one.detail["meter"], one.detail["percent"]) for one in read(engine)}
    assert limits == {(own, "logs", 50), (other, "mqtt_inbound", 80)}
    with transaction(engine) as connection:
        thresholds.save(connection, organization, "logs", [], "ada")
        assert [row["percents"] for row in thresholds.own(connection)] == [[90]]
        for wrong in (("cheese", [80]), ("logs", [0])):
            with pytest.raises(BudgetRefused):
                thresholds.save(connection, organization, *wrong, "ada")
    assert platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'thresholds'") == 3


def test_a_budget_escalates_with_the_projected_charge(
    engine: Engine, platform: Platform, look: Look, offered: plans.Plans
) -> None:
    project = platform.project(created_at=TODAY - hours(24 * 10))
    organization = platform.scalar("SELECT organization_id FROM projects")
    use(engine, project, logs=1)
    platform.sql(
        "INSERT INTO usage_hourly (project_id, hour, logs) VALUES (:id, :hour, 1)", id=project, hour=TODAY
    )
    with transaction(engine) as connection:
        budgets.save(connection, offered, AT, Decimal(19), "EUR", "ada", organization)
        (budget,) = budgets.compare(connection, offered, AT)
        with pytest.raises(BudgetRefused, match="billed in EUR"):
            budgets.save(connection, offered, AT, Decimal(9), "USD", "ada", project_id=project)
    assert (budget.projected, budget.percent) == (Decimal("10.00"), 52)
    look()
    with transaction(engine) as connection:
        budgets.save(connection, offered, AT, Decimal(8), "EUR", "ada", organization)
    look()
    (incident,) = [one for one in read(engine, organization_id=organization) if one.kind == "budget"]
    name = platform.scalar("SELECT name FROM organizations")
    assert incident.title == f"{name}: 2026-11 is projected to 10.00 EUR, 125 % of the budget of 8 EUR"
    assert [entry.get("percent") for entry in incident.history] == [50, 100]
    with transaction(engine) as connection:
        budgets.remove(connection, "ada", organization)
    look()
    assert [one for one in read(engine) if one.kind == "budget"] == []
    assert platform.scalar("SELECT count(*) FROM audit_log WHERE action = 'budget'") == 3


def test_a_budget_in_a_currency_of_before_says_that_it_is_not_compared(
    engine: Engine, platform: Platform, look: Look
) -> None:
    project = platform.project()
    platform.sql("INSERT INTO budgets (project_id, amount, currency) VALUES (:id, 5, 'USD')", id=project)
    look()
    (incident,) = read(engine, kind="budget")
    assert "budget of 5 USD cannot be compared, 2026-11 is billed in EUR" in incident.title


def test_lookers_at_the_same_time_open_each_cause_once(
    engine: Engine, platform: Platform, look: Look
) -> None:
    for _ in range(3):
        use(engine, platform.project(created_at=TODAY), logs=100, mqtt_inbound=900)
    lookers = [threading.Thread(target=look) for _ in range(4)]
    for looker in lookers:
        looker.start()
    for looker in lookers:
        looker.join()
    causes = platform.rows("SELECT kind, subject, project_id FROM alerts")
    assert len(causes) == len(set(causes)) == 6


def test_whatever_happens_each_open_cause_is_one_incident_and_each_incident_has_a_cause(
    engine: Engine, platform: Platform, look: Look
) -> None:
    chance = random.Random(11)
    ids = [platform.project(created_at=TODAY) for _ in range(4)]
    late = AT
    for _ in range(12):
        used = {project: chance.choice((0, 50, 80, 99, 100, 250)) for project in ids}
        for project, logs in used.items():
            use(engine, project, logs=logs)
        late += timedelta(minutes=chance.choice((0, 1, 30)))
        look(late)
        open_limits = read(engine, kind="limit")
        causes = {(project, 100 if logs >= 100 else 80) for project, logs in used.items() if logs >= 80}
        assert sorted((one.project_id, one.detail["percent"]) for one in open_limits) == sorted(causes)
        for one in open_limits:
            steps = [entry["percent"] for entry in one.history]
            assert steps == sorted(set(steps))
            assert steps[-1] >= one.detail["percent"]


@pytest.mark.parametrize("kind", [*titles.SENTENCES, "of another version"])
def test_an_incident_of_another_version_has_a_title(kind: str) -> None:
    row = {"kind": kind, "subject": "s", "detail": {"odd": [1]}, "project_id": 7, "organization_id": None}
    assert titles.title(row).startswith("Project 7: ")
    assert json.dumps(titles.title(row | {"project": "x" * 500}))[:63] == '"' + "x" * 60 + ": "
