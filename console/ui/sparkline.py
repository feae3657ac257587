"""A line as small as a word: an image, since a chart library would cost more than all the figures."""

from collections.abc import Sequence
from html import escape
from urllib.parse import quote

import streamlit as st

WIDTH, HEIGHT, COLOUR = 200, 44, "#3a8fcb"  # pixels before it is stretched; seen on light and dark


def line(values: Sequence[float], alt: str) -> None:
    """Draw `values`, two or more and none below zero, oldest at the left.

    From zero to the most: from the least, a loss of three per cent would look like a collapse.
    """
    step, room = WIDTH / (len(values) - 1), max(values) or 1
    points = " ".join(
        f"{number * step:.1f},{HEIGHT - 2 - (HEIGHT - 4) * value / room:.1f}"
        for number, value in enumerate(values)
    )
    drawn = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' preserveAspectRatio='none'>"
        f"<polyline points='{points}' fill='none' stroke='{COLOUR}' stroke-width='2' "
        "vector-effect='non-scaling-stroke' stroke-linejoin='round'/></svg>"
    )
    st.html(
        f"<img alt='{escape(alt)}' style='width:100%;height:{HEIGHT}px' "
        f"src='data:image/svg+xml,{quote(drawn)}'>"
    )
