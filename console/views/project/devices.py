"""The busiest devices of a project, and the sum of the others."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from typing import Any

import streamlit as st

from console.data.cache import cached
from console.data.transactions import read_transaction_as
from console.ui import format
from console.ui.table import Column, table
from metering.db.scope import Scope
from metering.ledger import devices
from metering.ledger.devices import DevicesOfDays

MOST = 100
COLUMNS = (
    Column("device", "Device", "name"),
    Column("messages", "Messages, at least", "count"),
    Column("share", "Of the project's", "percent"),
    Column("mqtt_inbound", "In", "count"),
    Column("mqtt_outbound", "Out", "count"),
    Column("bytes", "Payload", "bytes"),
    Column(
        "error", "At most this many more", "count", help="What may have been missed before it was followed"
    ),
)


@cached
def query(scope: Scope, project_id: int, first: date, last: date) -> DevicesOfDays:
    """Return the devices from `first` to `last`, both included."""
    with read_transaction_as(scope) as page:
        return devices.of_days(page.connection, project_id, first, last)


def render(scope: Scope, project_id: int, first: date, last: date) -> None:
    """Show the devices of these days; nothing where none was counted."""
    usage = query(scope, project_id, first, last)
    if not usage.devices:
        return
    st.subheader("Which robot", anchor=False)
    others = usage.rest["mqtt_inbound"] + usage.rest["mqtt_outbound"]
    total = others + sum(device.mqtt_inbound + device.mqtt_outbound for device in usage.devices)
    rows = [_row(asdict(device), total) for device in usage.devices[:MOST]]
    table(rows, COLUMNS, f"devices-of-project-{project_id}", "The busiest devices of the project")
    exact = "Every device is here, with exactly what it sent and received."
    st.caption(
        f"{first} to {last}. {exact}"
        if not others
        else f"{first} to {last}. The rest, other devices among it: {format.many(others, 'message')}."
    )


def _row(device: dict[str, Any], total: int) -> Mapping[str, Any]:
    messages = device["mqtt_inbound"] + device["mqtt_outbound"]
    payload = device["mqtt_inbound_bytes"] + device["mqtt_outbound_bytes"]
    return device | {"messages": messages, "bytes": payload, "share": messages / total if total else None}
