"""The burn-down of one allowance, and the used shares of the allowances of a customer's projects."""

from collections.abc import Sequence
from datetime import datetime
from html import escape as html_escape
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from console.data.queries.rows import Row
from console.data.transactions import read_transaction
from console.ui import escape, format, limit_states, links, states
from console.ui.charts import drawing, layout, palette, traces, units
from metering.catalogue.periods import Month
from metering.config.settings import current_settings
from metering.pricing import plans, price_words
from metering.running import month_use

SHARES_SHOWN = 10  # projects of a customer in one chart


def render(limit: Row, at: datetime) -> None:
    """Show the month's use of one limit (a row of `burn_down.limits`), its state, forecast and price."""
    meter, label = limit["meter"], limit["label"]
    with read_transaction() as page:
        used = month_use.by_day(page.connection, limit["project_id"], meter, at)
    _head(limit, at)
    ends = month_use.cumulative(used, limit["adds_up"])
    alt = f"{label}: use of the month so far against the allowance of {limit['included']:,}"
    figure = _figure(limit, [day.date for day in used], ends, at)
    drawing.show(figure, f"burn-down-{limit['project_id']}-{meter}", alt, file_name="burn-down")
    missing = [day.date for day in used if not day.is_known]
    if missing:
        st.caption(f"{format.many(len(missing), 'day')} not known or only in part, shown as gaps.")


def _head(limit: Row, at: datetime) -> None:
    words = limit_states.words(limit)
    project = links.anchor(links.project(limit["project_id"], limit["meter"]), escape.html(limit["project"]))
    unit = limit["unit"]
    used, included = format.quantity(limit["used"], unit), format.quantity(limit["included"], unit)
    share = "" if limit["share"] is None else f" ({limit['share']:.1%})"
    st.html(
        f"<h2 style='margin:0;overflow-wrap:anywhere'>{project}: {html_escape(limit['label'])}</h2>"
        f"<div>{states.html(words['shown'])} · {used} of {included}{share} · {html_escape(words['end'])}"
        f" · {html_escape(words['kind'])}</div>"
    )
    st.caption(_terms(limit, at))


def _terms(limit: Row, at: datetime) -> str:
    """Return the allowance of the plan and the price beyond it, in words."""
    version = plans.load(current_settings().plans).in_force(Month.of(at).last.date)
    allowance = version.tier(limit["tier"]).meters[limit["meter"]]
    terms = price_words.of_allowance(allowance)
    tier = escape.markdown(limit["tier"].capitalize(), 40)
    part = f" in proportion to the days of the month (of {allowance.included:,})"
    included = f"{limit['included']:,} included{part if limit['in_proportion'] else ''}"
    return f"{tier} tier, plan of {version.effective}: {included}; beyond it {terms}" + (
        f" in {version.currency}" if allowance.overage else ""
    )


def _figure(limit: Row, days: Sequence[Any], ends: Sequence[int | None], at: datetime) -> go.Figure:
    month, unit = Month.of(at), units.of(limit["unit"])
    figure = layout.over_time(unit, "day", f"burn-down-{limit['project_id']}-{limit['meter']}")
    kind = "Used this month" if limit["adds_up"] else "Level"
    figure.add_trace(traces.line(list(days), list(ends), kind, unit, "day"))
    span = [month.first.date, month.last.date]
    figure.add_trace(_level(span, limit["included"], "Included", palette.MARK, "solid"))
    figure.add_trace(_level(span, limit["included"] * 0.8, "80 %", palette.OTHER, "dot"))
    if limit["projected"] is not None and limit["used"] is not None:
        figure.add_trace(_projection(limit, days[-1], month))
    if limit["exhausted_at"] is not None:
        figure.add_trace(_exhausted(limit))
    return figure


def _level(x: Sequence[Any], value: float, name: str, colour: str, dash: str) -> go.Scatter:
    line = {"color": colour, "width": 2, "dash": dash}
    return go.Scatter(x=list(x), y=[value] * len(x), name=name, mode="lines", line=line, hoverinfo="skip")


def _projection(limit: Row, today: Any, month: Month) -> go.Scatter:
    return go.Scatter(
        x=[today, month.last.date],
        y=[limit["used"], limit["projected"]],
        name="Projected",
        mode="lines",
        xperiod=layout.DAY,
        xperiodalignment="middle",
        line={"color": palette.series(0), "width": 2, "dash": "dash"},
    )


def _exhausted(limit: Row) -> go.Scatter:
    return go.Scatter(
        x=[limit["exhausted_at"].date()],
        y=[limit["included"]],
        name=limit_states.reached(limit),
        mode="markers+text",
        xperiod=layout.DAY,
        xperiodalignment="middle",
        text=[limit_states.reached(limit)],
        textposition="top left",
        marker={"color": palette.MARK, "size": 11, "symbol": "diamond"},
    )


def shares(limits: Sequence[Row]) -> None:
    """Show the used share of each project's allowance, for one customer: they do not add up."""
    rows = [row for row in limits if row["share"] is not None][:SHARES_SHOWN]
    if not rows:
        return
    meter = rows[0]["meter"]
    st.subheader(f"{escape.markdown(rows[0]['label'])}: part of each project's allowance", anchor=False)
    figure = go.Figure(layout=layout.common(f"shares-{meter}", 90 + 34 * len(rows)))
    names = [f"{escape.chart(row['project'], 30)} · {row['project_id']}" for row in rows]
    colours = {"ok": palette.series(2), "near": palette.series(1), "over": palette.MARK, "hard": palette.MARK}
    figure.add_trace(
        go.Bar(
            x=[row["share"] for row in rows],
            y=names,
            orientation="h",
            name="Used of included",
            marker={"color": [colours[row["state"]] for row in rows]},
            hovertemplate="%{x:.1%}<extra></extra>",
        )
    )
    figure.add_vline(x=1, line={"color": palette.TEXT, "width": 1, "dash": "dash"})
    figure.update_layout(showlegend=False, yaxis={"autorange": "reversed"}, xaxis={"tickformat": ".0%"})
    drawing.show(figure, f"shares-{meter}", "Part of its allowance that each project has used")
