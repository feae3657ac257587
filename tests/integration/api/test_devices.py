"""The busiest devices over HTTP: lower bounds, the rest, and nobody else's."""

from datetime import UTC, datetime

from sqlalchemy import Engine

from collectors.mqtt.devices import DeviceFigures
from metering.db.transactions import transaction
from metering.ledger import devices
from tests.integration.api.conftest import Connect
from tests.support.closed_months import count
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, tzinfo=UTC)


def test_devices_of_a_day_and_the_rest(connect: Connect, engine: Engine, platform: Platform) -> None:
    organization, other = platform.organization("starter"), platform.organization("starter")
    project = platform.project(organization, created_at="2026-11-01T00:00:00Z")
    count(engine, organization, project, 10, AT)
    with transaction(engine) as connection:
        figures = DeviceFigures(organization, project, AT.date(), "arm <b>", [7, 0, 0, 0], 2)
        devices.add(connection, [figures], 5)
    address, day = f"/projects/{project}/devices", {"date": "2026-11-24"}
    body = connect("viewer", organization).get(address, params=day).json()
    assert body["items"] == [
        {"device": "arm <b>", "mqtt_inbound": 7, "mqtt_outbound": 0}
        | {"mqtt_inbound_bytes": 0, "mqtt_outbound_bytes": 0, "error": 2}
    ]
    assert (body["date"], body["rest"]["mqtt_inbound"], body["next"]) == ("2026-11-24", 3, None)
    assert connect("viewer", other).get(address, params=day).status_code == 404
    assert connect("viewer", organization).get(address, params={"date": "2026-02-30"}).status_code == 422
    assert connect("viewer", organization).get(address, params={"date": "2026-11-23"}).json()["items"] == []
