"""The problems of a project, before its figures: over an allowance, missing days, old levels, inactive."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import streamlit as st

from console.data.queries.rows import Row
from console.ui import escape, format, links
from metering.catalogue.meters import METERS
from metering.catalogue.sources import GAUGE_SOURCES, SOURCE_LABELS

OLD = timedelta(hours=26)  # a level of an earlier day


def render(
    project: Row, used: Sequence[Mapping[str, Any]], trend: Sequence[Row], missing: Sequence[date]
) -> None:
    """Render a line for each problem; nothing where there is none."""
    for line in [*_inactive(project), *_limits(project, used), *_missing(missing), *_old(trend)]:
        st.markdown(line)


def _inactive(project: Row) -> Iterator[str]:
    if not project["is_active"]:
        since = project["deactivated_at"]
        yield f":gray-badge[:material/pause_circle: {f'Left on {since:%d %b %Y}' if since else 'Inactive'}]"


def _limits(project: Row, used: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for row in used:
        if row["used"] is None or not row["included"] or row["used"] <= row["included"]:
            continue
        meter = METERS.get(row["meter"])
        label = meter.label if meter else str(row["meter"])
        share = row["used"] / row["included"]
        where = links.address("limits", {"project": project["id"], "meter": row["meter"]})
        yield f":red-badge[▲ over] [{label}: {share:.0%} of the allowance]({where})"


def _missing(missing: Sequence[date]) -> Iterator[str]:
    if missing:
        where = links.address("snapshots", {"from": min(missing), "to": max(missing)})
        yield f":red-badge[○ missing] [{format.many(len(missing), 'day')} not sealed]({where})"


def _old(trend: Sequence[Row]) -> Iterator[str]:
    newest: Mapping[str, Any] = next((row["coverage"] for row in reversed(trend) if row["coverage"]), {})
    for source in GAUGE_SOURCES:
        entry = newest.get(source, {})
        age = entry.get("age_hours")
        if age is not None and timedelta(hours=age) > OLD:
            days = format.many(int(age // 24), "day")
            why = escape.markdown(str(entry.get("reason") or entry["state"]), 200)
            yield f":violet-badge[↷ old] {SOURCE_LABELS[source]}: the levels are {days} old: {why}"
