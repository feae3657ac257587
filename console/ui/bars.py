"""Bars by day without a chart library: two megabytes of script less before the first page is there.

Each bar has its figures in its tooltip. No chart shows a name that somebody chose.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import streamlit as st

from console.data.queries.rows import Row
from console.ui import format
from console.ui.charts import BLUE, ORANGE

COLOURS = (BLUE, ORANGE)
HEIGHT, GUTTER, LINES, LABELS = 232, 56, 5, 6  # pixels twice; lines above the lowest; dates below
FAINT = "rgba(128,128,128,.28)"


def days(rows: Sequence[Row], series: Mapping[str, str], alt: str) -> None:
    """Bars stacked by day; `series` maps a row's key to its label; a day that is unknown has no bar."""
    levels = scale(max(_sum(row, series) for row in rows))
    bars = "".join(_day(row, series, levels[-1]) for row in rows)
    lines = f"repeating-linear-gradient({FAINT} 0 1px, transparent 1px {100 / (len(levels) - 1):.4f}%)"
    st.html(
        f"<div role='img' aria-label='{escape(alt)}' style='font-size:.8rem'>{_legend(series)}"
        f"<div style='display:flex;height:{HEIGHT}px;margin-top:.75rem'>{_levels(levels)}"
        f"<div style='flex:1;display:flex;align-items:stretch;gap:3px;background:{lines};"
        f"border-bottom:1px solid {FAINT}'>{bars}</div></div>{_dates(rows)}</div>"
    )


def scale(highest: int) -> list[int]:
    """Round figures for the lines from 0 on: the last is not below `highest`, and they are six at most."""
    power = 1
    while power * 50 < highest:
        power *= 10
    step = next(power * by for by in (1, 2, 5, 10) if power * by * LINES >= highest)
    return [step * number for number in range(max(-(-highest // step), 1) + 1)]


def _sum(row: Row, series: Mapping[str, str]) -> int:
    return sum(row[name] or 0 for name in series)


def _day(row: Row, series: Mapping[str, str], top: int) -> str:
    description = "; ".join(f"{label} {format.count(row[name])}" for name, label in series.items())
    parts = "".join(
        f"<div style='height:{100 * (row[name] or 0) / top:.2f}%;background:{colour}'></div>"
        for name, colour in zip(series, COLOURS, strict=False)
    )
    style = "flex:1;max-width:26px;margin:0 auto;display:flex;flex-direction:column-reverse"
    return f"<div title='{row['date']}: {escape(description)}' style='{style}'>{parts}</div>"


def _legend(series: Mapping[str, str]) -> str:
    return "<div style='display:flex;gap:1rem'>" + "".join(
        f"<span><span style='display:inline-block;width:.7em;height:.7em;border-radius:2px;"
        f"background:{colour}'></span> {escape(label)}</span>"
        for label, colour in zip(series.values(), COLOURS, strict=False)
    ) + "</div>"  # fmt: skip


def _levels(levels: Sequence[int]) -> str:
    inner = "".join(
        f"<span style='line-height:0'>{format.compact(level)}</span>" for level in reversed(levels)
    )
    return (
        f"<div style='width:{GUTTER}px;padding-right:.5rem;display:flex;flex-direction:column;"
        f"justify-content:space-between;text-align:right'>{inner}</div>"
    )


def _dates(rows: Sequence[Row]) -> str:
    """Every so many days one, counted from the newest, under its bar."""
    every = -(-len(rows) // LABELS)
    labels: list[Any] = [
        f"{row['date']:%m-%d}" if (len(rows) - 1 - number) % every == 0 else ""
        for number, row in enumerate(rows)
    ]
    cell = "flex:1;min-width:0;display:flex;justify-content:center;white-space:nowrap"
    cells = "".join(f"<span style='{cell}'><span>{word}</span></span>" for word in labels)
    return f"<div style='display:flex;gap:3px;margin:.4rem 0 0 {GUTTER}px'>{cells}</div>"
