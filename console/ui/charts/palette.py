"""The colours of charts, as Streamlit's placeholders: the browser replaces them by those of its theme.

`.streamlit/config.toml` has the two palettes. The colours are distinct with each form of colour blindness,
and at least 3:1 against the page and against a band; tests/unit/console/test_chart_palette.py computes both.
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

import console

# Streamlit replaces these ten by theme.light or theme.dark chartCategoricalColors, in any place.
_PLACES = tuple(f"#{number:06d}" for number in range(1, 11))
SERIES = _PLACES[:7]
OTHER, MARK, HATCH = _PLACES[7:]  # the rest of a top list and what is compared with; limits; quality
BACKGROUND, TEXT = "#000038", "#000037"
_SEQUENTIAL = tuple(f"#{number:06d}" for number in range(11, 21))
BAND = _SEQUENTIAL[0]  # between the edges of a band
SCALE = [[number / 9, colour] for number, colour in enumerate(_SEQUENTIAL)]
THEMES = ("light", "dark")
CONFIG = Path(console.__file__).parent / ".streamlit" / "config.toml"


def series(number: int) -> str:
    """Return the colour of the series `number`, from 0; after seven they repeat (see `dash`)."""
    return SERIES[number % len(SERIES)]


def dash(number: int) -> str:
    """Return the line style of the series `number`: a new one for each repetition of the colours."""
    return ("solid", "dash", "dot")[number // len(SERIES) % 3]


def own(*numbers: int) -> list[str]:
    """Return these colours of the current theme: Streamlit's own charts take no placeholders."""
    colours = theme(st.context.theme.type or THEMES[0])["chartCategoricalColors"]
    return [colours[number] for number in numbers]


def resolve(figure: str, name: str = "light") -> str:
    """Return `figure`, as JSON or HTML, with the colours of the theme `name`: a file has no theme."""
    colours = theme(name)
    own_colours = (
        *zip(_PLACES, colours["chartCategoricalColors"], strict=True),
        *zip(_SEQUENTIAL, colours["chartSequentialColors"], strict=True),
        (BACKGROUND, colours["backgroundColor"]),
        (TEXT, colours["textColor"]),
    )
    for place, colour in own_colours:
        figure = figure.replace(place, colour)
    return figure


@cache
def theme(name: str) -> dict[str, Any]:
    """Return the options of the theme `name`, `light` or `dark`."""
    options: dict[str, Any] = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"][name]
    return options
