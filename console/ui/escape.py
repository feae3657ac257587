"""Escape names from users of the platform: shown in full or cut short, never as markup.

Markup is Streamlit's Markdown, HTML, and the marks that reverse the direction of writing.
"""

import re
import unicodedata
from functools import lru_cache
from html import escape

LONGEST = 80
UNSEEN = "\u2060"  # a word joiner: no width, no break
_FORMULA = ("=", "+", "-", "@")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=])")


@lru_cache(maxsize=4_000)
def short(name: str, longest: int = LONGEST) -> str:
    """Return `name` on one line without control or direction marks, cut at `longest` characters."""
    start = name[: 10 * longest]  # of five thousand characters the last are never shown
    visible = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf") or c == "\u200d" else " " for c in start
    )
    line = " ".join(visible.split()) or "(no name)"
    return line if len(line) <= longest else line[: longest - 1] + "…"


# Streamlit reads these in escaped text as well: addresses, icons and emoji, arrows.
_TURNED = re.compile(
    r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=:)(?=[\w+-]+[/_\w+-]*:)|(?<=-)(?=[->])|(?<=<)(?=[-=])|(?<=[>~])(?==)",
    re.IGNORECASE,
)


def cell(name: str, longest: int = LONGEST) -> str:
    """Return `name` for a table, whose cells Streamlit writes into a CSV unchanged.

    A text that a spreadsheet would take for a formula begins with an invisible mark.
    """
    line = short(name, longest)
    return UNSEEN + line if line.startswith(_FORMULA) else line


def markdown(name: str, longest: int = LONGEST) -> str:
    """Return `name` escaped for Streamlit's Markdown."""
    return _MARKDOWN.sub(r"\\\1", _TURNED.sub(UNSEEN, short(name, longest)))


def html(name: str, longest: int = LONGEST) -> str:
    """Return `name` as HTML text, in its own direction of writing."""
    return f"<bdi>{escape(short(name, longest))}</bdi>"


def chart(name: str, longest: int = 40) -> str:
    """Return `name` for a chart, whose texts Plotly reads as simple HTML."""
    return escape(short(name, longest), quote=False)


def project(identifier: int, name: str) -> str:
    """Return the label of a project in lists: its name and its id."""
    return f"{short(name, 60)} · {identifier}"


def plotly(name: str, longest: int = 60) -> str:
    """Return `name` escaped for Plotly, which reads some HTML and formulas, on one line."""
    return escape(short(name, longest)).replace("$", "&#36;")
