"""What glyphs and colours mean, the same on every page: one glyph, one colour, one meaning.

Red: beyond a limit, lost or refused; amber: near a limit or incomplete; green: well; blue: in progress;
violet: carried over or a preview; grey: nothing to measure or unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Literal

Colour = Literal["red", "orange", "green", "blue", "violet", "gray"]
# For pills in a grid, which writes dark or white on them as it needs.
FILLS: Mapping[Colour, str] = {
    "red": "#D55E00",
    "orange": "#E69F00",
    "green": "#009E73",
    "blue": "#56B4E9",
    "violet": "#CC79A7",
    "gray": "#8A95A166",
}
# Text on the page's background: light scheme, dark scheme; each at least 4.5:1.
TEXTS: Mapping[Colour, tuple[str, str]] = {
    "red": ("#a3211a", "#ff9a92"),
    "orange": ("#8a4b00", "#ffc069"),
    "green": ("#00694d", "#5ad6ae"),
    "blue": ("#0b5c99", "#6fb6f2"),
    "violet": ("#7b3f72", "#e0a3d4"),
    "gray": ("#55606d", "#a7b3c0"),
}


@dataclass(frozen=True)
class State:
    """A glyph, its colour and the word beside it."""

    glyph: str
    colour: Colour
    word: str

    @property
    def label(self) -> str:
        """The glyph and the word, as in cells and pills."""
        return f"{self.glyph} {self.word}"


OVER = State("▲", "red", "over")
AT_LIMIT = State("▲", "red", "at the limit")
NEAR = State("◐", "orange", "near")
WITHIN = State("●", "green", "within")
UNKNOWN = State("–", "gray", "unknown")
CRITICAL = State("▲", "red", "critical")
WARNING = State("◐", "orange", "warning")
ALIVE = State("●", "green", "alive")
GONE = State("✕", "red", "gone")
ENDED = State("–", "gray", "ended")
DONE = State("●", "green", "well")
TO_DO = State("▲", "red", "to do")
ACTIVE = State("●", "green", "active")
EXPIRED = State("–", "gray", "expired")
REVOKED = State("–", "gray", "revoked")
FRESH = State("●", "green", "fresh")
STALE = State("◐", "orange", "stale")
NEVER_MEASURED = State("–", "gray", "never measured")
SEALED = State("●", "green", "sealed")
NOT_SEALED = State("○", "red", "not sealed")
NOT_EXPECTED = State("–", "gray", "not expected")
OLD = State("↷", "violet", "old")

NEAR_SHARE = Decimal("0.8")  # of what is included: amber from here, red above 100 %

COVERAGE: Mapping[str, State] = {
    "measured": State("●", "green", "measured"),
    "zero": State("0", "blue", "nothing used"),
    "partial": State("◐", "orange", "partial"),
    "missing": State("○", "red", "missing"),
    "carried": State("↷", "violet", "carried"),
    "denied": State("✕", "red", "denied"),
    "failed": State("✕", "red", "failed"),
    "not_started": State("–", "gray", "not started"),
    "not_configured": State("–", "gray", "not configured"),
}
STATES = {name: state.label for name, state in COVERAGE.items()}
LEGEND = (
    "● the source was read · 0 read, and nothing used · ◐ for some hours · ○ not at all · "
    "↷ the last known level was carried over · ✕ reading was refused or failed · – nothing to measure"
)


def of_share(used: float | Decimal | None, included: float | Decimal | None) -> State:
    """Return the state of a use against an allowance: red from 100 %, amber from 80 %."""
    if used is None or included is None:
        return UNKNOWN
    if used >= included:
        return OVER if used > included else AT_LIMIT
    return NEAR if Decimal(used) >= NEAR_SHARE * Decimal(included) else WITHIN


def html(state: State) -> str:
    """Return the state as a coloured text for our own HTML."""
    light, dark = TEXTS[state.colour]
    return (
        f"<span style='color:light-dark({light},{dark});font-weight:600;white-space:nowrap'>"
        f"{escape(state.label)}</span>"
    )


def markdown(state: State) -> str:
    """Return the state as a badge for Streamlit's Markdown."""
    return f":{state.colour}-badge[{state.label}]"
