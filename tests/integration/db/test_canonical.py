"""The canonical form, written out column by column, is the same bytes as the function's."""

import json
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, Table, text

from metering.db import canonical
from metering.db.tables import OWN_TABLES
from metering.exports.export_hash import canonical as as_python

ODD = 'a "quoted" \\ back\tslash\nline \x01\x1f é 🤖 \u2028 /'
DEEP: dict[str, Any] = {
    "s3": {"parts": {"eu-west-1/b": {"s3_storage_bytes": 7, "a": None}, "é": []}, "state": ODD},
    "mqtt": {"of": 24, "hours": 24, "state": "measured"},
    **{"": {}, "aa": [1, {"z": 1, "b": [2.50, True]}], "b": "text", "n": None, "Z": 3},
}


def forms(connection: Connection, table: Table, without: tuple[str, ...]) -> tuple[str, str]:
    ours = canonical.of_row(table, "t", {column.name for column in table.c} - set(without))
    less = " ".join(f"- '{name}'" for name in without)
    query = f"SELECT {ours}, fleetmeter_canonical(to_jsonb(t) {less}) FROM {table.name} t"
    one, other = connection.execute(text(query)).one()
    return one, other


@pytest.mark.parametrize("coverage", [{}, DEEP, {"ecr": {"parts": {}}}])
def test_a_day_has_the_form_of_the_function(engine: Engine, coverage: dict[str, Any]) -> None:
    day = OWN_TABLES["daily_stats"]
    values = {"project_id": 1, "organization_id": 2, "year": 2026, "month": 10, "day": 3}
    values |= {"tier": ODD, "coverage": coverage, "row_hash": "x", "device_count": 2**62, "logs": 7}
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(day.insert().values(**values | {"date": date(2026, 10, 3)}))
        ours, function = forms(connection, day, ("row_hash", "created_at"))
    assert ours == function
    read = json.loads(ours)
    assert (read["tier"], read["ecr_image_count"], read["mqtt_inbound"]) == (ODD, None, 0)
    if coverage is not DEEP:  # Python writes 2.50 in another way
        assert ours == as_python(read)
