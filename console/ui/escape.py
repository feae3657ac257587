"""Names that people on the platform chose: shown whole or cut short, never as markup.

Markup is Streamlit's Markdown, HTML, and the marks that turn the direction of writing around.
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
    """`name` on one line without control or direction marks, at most `longest` characters."""
    start = name[: 10 * longest]  # of five thousand characters nobody sees the last
    visible = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf") or c == "\u200d" else " " for c in start
    )
    line = " ".join(visible.split()) or "(no name)"
    return line if len(line) <= longest else line[: longest - 1] + "…"


# Read by Streamlit in words that are escaped already: addresses, icons and emoji, arrows.
_TURNED = re.compile(
    r"(?<=:)(?=//)|(?<=www)(?=\.)|(?<=:)(?=[\w+-]+[/_\w+-]*:)|(?<=-)(?=[->])|(?<=<)(?=[-=])|(?<=[>~])(?==)",
    re.IGNORECASE,
)


def cell(name: str, longest: int = LONGEST) -> str:
    """`name` for a table, of which Streamlit makes a CSV as it is.

    What a spreadsheet would take for a formula begins with a mark that nobody sees.
    """
    line = short(name, longest)
    return UNSEEN + line if line.startswith(_FORMULA) else line


def markdown(name: str, longest: int = LONGEST) -> str:
    """`name` so that Streamlit's Markdown shows it as it is."""
    return _MARKDOWN.sub(r"\\\1", _TURNED.sub(UNSEEN, short(name, longest)))


def html(name: str, longest: int = LONGEST) -> str:
    """`name` as HTML text, in its own direction of writing."""
    return f"<bdi>{escape(short(name, longest))}</bdi>"


def chart(name: str, longest: int = 40) -> str:
    """`name` for a chart, whose texts Plotly reads as simple HTML."""
    return escape(short(name, longest), quote=False)


def project(identifier: int, name: str) -> str:
    """How a project is called in lists: its name and its id."""
    return f"{short(name, 60)} · {identifier}"


def plotly(name: str, longest: int = 60) -> str:
    """`name` for a chart, whose library reads some HTML: as it is, on one line."""
    return escape(short(name, longest)).replace("$", "&#36;")
