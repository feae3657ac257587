"""The figures of the fleet as cards, each with its change and its trend."""

from collections.abc import Sequence

import streamlit as st

from console.data.queries import fleet
from console.data.queries.rows import Row
from console.ui import format
from console.views.overview import rate_card


def render(
    totals: Row, trend: Sequence[Row], since_day: fleet.Changes | None, since_now: fleet.Changes | None
) -> None:
    """Show the cards; `since_day` and `since_now` are the changes of counters and of gauges."""
    grid = st.grid("auto", min_column_width=160, row_height=rate_card.HEIGHT, key="figures")
    with grid.cell():
        rate_card.render()
    with grid.cell():
        _figure("Messages, last sealed day", "messages", trend, "count", since_day)
    with grid.cell():
        _figure("API calls, last sealed day", "api_calls", trend, "count", since_day)
    with grid.cell():
        devices = totals["devices"]
        note = None if devices is None else f"of {format.many(devices, 'device')} of active projects"
        _figure("Active devices", "active_devices", trend, "count", since_now, totals["active_devices"], note)
    with grid.cell():
        coverage = (
            f"{totals['storage_known']:,} of {format.many(totals['active'], 'active project')} measured"
        )
        _figure("Storage now", "storage_bytes", trend, "bytes", since_now, totals["storage_bytes"], coverage)


def _figure(
    label: str,
    name: str,
    trend: Sequence[Row],
    unit: str,
    since: fleet.Changes | None,
    value: int | None = None,
    note: str | None = None,
) -> None:
    days = [row[name] for row in _sealed(trend)]
    values = [day for day in days if day is not None]
    current = value if value is not None or not days else days[-1]
    change = None if since is None else since.by_figure[name]
    st.metric(
        label,
        format.size(current) if unit == "bytes" else format.compact(current),
        None if change is None else f"{change:+.1%}",
        delta_color="off",
        delta_description=f"vs {since.base:%a %d %b}" if since and change is not None else None,
        help=note,
        border=True,
        height=rate_card.HEIGHT,
        chart_data=values if len(values) > 1 else None,
        chart_type="area",
    )


def _sealed(trend: Sequence[Row]) -> Sequence[Row]:
    """Return `trend` without the last days while they are not sealed, as just after midnight."""
    last = max((number for number, row in enumerate(trend) if row["projects"]), default=-1)
    return trend[: last + 1]
