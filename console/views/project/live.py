"""A project's running month, updated every two seconds."""

from datetime import datetime

import streamlit as st

from console.data.own_meters import by_name
from console.data.queries import projects
from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import error_boundary, format
from console.views.project import attention
from metering.catalogue import own_meters
from metering.catalogue.meters import COUNTERS, GAUGES, Counter, Gauge, sources_of
from metering.catalogue.sources import SOURCES, source_info


@st.fragment(run_every=2)
@error_boundary.guarded
def live_totals(project_id: int, is_active: bool) -> None:
    """Render the running totals every two seconds; of an inactive project, its last ones."""
    with read_transaction() as page:
        live = projects.live(page.connection, project_id)
    title = "Running month, live" if is_active else "Running month, until the project left"
    st.subheader(title, anchor=False)
    if live is None:
        st.info(
            "Nothing was counted for this project yet: no message, and no hourly refresh since it exists."
        )
        return
    grid = st.grid("auto", min_column_width=165, key="live")
    for meter in COUNTERS:
        grid.metric(meter.label, _short(live[meter.name], meter), border=True, help=_exact(live, meter))
    st.caption(
        f"Days that are not closed into a bill yet; sealed up to {format.stamp(live['open_from'])}. "
        + _measured(live, page.at)
    )
    _own(live)
    levels = st.grid("auto", min_column_width=165, key="levels")
    for gauge in GAUGES:
        old = _old(live, gauge, page.at)
        levels.metric(
            gauge.label,
            _short(live[gauge.live], gauge),
            f"↷ read {old}" if old else None,
            border=True,
            delta_color="orange",
            delta_arrow="off",
        )


def _old(live: Row, gauge: Gauge, at: datetime) -> str | None:
    """Return the age of the level if it is of an earlier day; a sum is as old as its oldest part."""
    instants = [live[source_info(source).measured_at] for source in sources_of(gauge)]
    read = min((instant for instant in instants if instant is not None), default=None)
    if live[gauge.live] is None or read is None or at - read <= attention.OLD:
        return None
    return format.age(read, at)


def _own(live: Row) -> None:
    """Render the meters of the platform's own that the project has ever used."""
    names = sorted({*live["meters"], *live["lifetime_meters"]})
    if not names:
        return
    grid = st.grid("auto", min_column_width=165, key="own-meters")
    for name in names:
        meter, used = own_meters.find(name, by_name()), live["meters"].get(name, 0)
        unit = f" {meter.unit}" if meter.unit else ""
        closed = f"{format.count(live['lifetime_meters'].get(name, 0))}{unit} in closed months"
        largest = ", the largest" if meter.aggregation == "max" else ""
        described = f"{format.count(used)}{unit} in the running month{largest}; {closed}"
        grid.metric(
            meter.title,
            format.compact(used) if used >= 10_000_000 else format.count(used),
            border=True,
            help=described,
        )


def _short(value: int | None, meter: Counter | Gauge) -> str:
    if meter.unit == "bytes":
        return format.size(value)
    return format.count(value) if value is None or value < 10_000_000 else format.compact(value)


def _exact(live: Row, meter: Counter) -> str:
    unit = " bytes" if meter.unit == "bytes" else ""
    closed = format.count(live["lifetime_" + meter.name])
    return f"{format.count(live[meter.name])}{unit} in the running month; {closed}{unit} in closed months"


def _measured(live: Row, at: datetime) -> str:
    ages = (f"{source.label} {format.age(live[source.measured_at], at)}" for source in SOURCES)
    return "Last measured: " + ", ".join(ages)
