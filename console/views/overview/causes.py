"""Links from a figure's change to its causes: the address of Changes that compares the same days."""

from collections.abc import Mapping
from datetime import date

import streamlit as st

from console.data.queries import fleet
from console.ui import links

# Figure of Overview -> its label there and its measures in the address.
MEASURES: Mapping[str, tuple[str, str]] = {
    "messages": ("Messages", "mqtt_inbound,mqtt_outbound"),
    "api_calls": ("API calls", "api_calls"),
    "storage_bytes": ("Storage", "storage_bytes"),
    "active_devices": ("Active devices", "active_device_count"),
}


def address(figure: str, last: date, base: date) -> str:
    """Return the address that analyses the change of `figure` from the day `base` to `last`."""
    query = {"meters": MEASURES[figure][1], "by": "project", "from": last, "to": last}
    return links.address("changes", query | {"before_from": base, "before_to": base})


def render(last: date, today: date, since_day: fleet.Changes | None, since_now: fleet.Changes | None) -> None:
    """Show a link for each change on the cards; `last` is the newest sealed day."""
    parts = []
    for figure, (label, _) in MEASURES.items():
        is_live = figure in ("storage_bytes", "active_devices")
        since, day = (since_now, today) if is_live else (since_day, last)
        change = since.by_figure[figure] if since is not None else None
        if since is not None and change is not None:
            parts.append(links.anchor(address(figure, day, since.base), f"{label} {change:+.1%}"))
    if parts:
        st.html(f"<div style='font-size:.9rem'>What caused it: {' · '.join(parts)}</div>")
