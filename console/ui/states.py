"""The labels of states, the same on every page: one glyph, one colour, one meaning.

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
class StatusLabel:
    """A glyph, its colour and the word beside it."""

    glyph: str
    colour: Colour
    word: str

    @property
    def label(self) -> str:
        """Return the glyph and the word, as in cells and pills."""
        return f"{self.glyph} {self.word}"


OVER = StatusLabel("▲", "red", "over")
AT_LIMIT = StatusLabel("▲", "red", "at the limit")
NEAR = StatusLabel("◐", "orange", "near")
WITHIN = StatusLabel("●", "green", "within")
UNKNOWN = StatusLabel("–", "gray", "unknown")
CRITICAL = StatusLabel("▲", "red", "critical")
WARNING = StatusLabel("◐", "orange", "warning")
ALIVE = StatusLabel("●", "green", "alive")
GONE = StatusLabel("✕", "red", "gone")
ENDED = StatusLabel("–", "gray", "ended")
PASSED = StatusLabel("●", "green", "well")
TO_DO = StatusLabel("▲", "red", "to do")
ACTIVE = StatusLabel("●", "green", "active")
EXPIRED = StatusLabel("–", "gray", "expired")
REVOKED = StatusLabel("–", "gray", "revoked")
FRESH = StatusLabel("●", "green", "fresh")
STALE = StatusLabel("◐", "orange", "stale")
NEVER_MEASURED = StatusLabel("–", "gray", "never measured")
SEALED = StatusLabel("●", "green", "sealed")
NOT_SEALED = StatusLabel("○", "red", "not sealed")
NOT_EXPECTED = StatusLabel("–", "gray", "not expected")
OLD = StatusLabel("↷", "violet", "old")

NEAR_SHARE = Decimal("0.8")  # of what is included: amber from here, red above 100 %

COVERAGE: Mapping[str, StatusLabel] = {
    "measured": StatusLabel("●", "green", "measured"),
    "zero": StatusLabel("0", "blue", "nothing used"),
    "partial": StatusLabel("◐", "orange", "partial"),
    "missing": StatusLabel("○", "red", "missing"),
    "carried": StatusLabel("↷", "violet", "carried"),
    "denied": StatusLabel("✕", "red", "denied"),
    "failed": StatusLabel("✕", "red", "failed"),
    "not_started": StatusLabel("–", "gray", "not started"),
    "not_configured": StatusLabel("–", "gray", "not configured"),
}
STATES = {name: state.label for name, state in COVERAGE.items()}
LEGEND = (
    "● the source was read · 0 read, and nothing used · ◐ for some hours · ○ not at all · "
    "↷ the last known level was carried over · ✕ reading was refused or failed · – nothing to measure"
)


def of_share(used: float | Decimal | None, included: float | Decimal | None) -> StatusLabel:
    """Return the label of a use against an allowance: red from 100 %, amber from 80 %."""
    if used is None or included is None:
        return UNKNOWN
    if used >= included:
        return OVER if used > included else AT_LIMIT
    return NEAR if Decimal(used) >= NEAR_SHARE * Decimal(included) else WITHIN


def html(state: StatusLabel) -> str:
    """Return the label as a coloured text for our own HTML."""
    light, dark = TEXTS[state.colour]
    return (
        f"<span style='color:light-dark({light},{dark});font-weight:600;white-space:nowrap'>"
        f"{escape(state.label)}</span>"
    )


def markdown(state: StatusLabel) -> str:
    """Return the label as a badge for Streamlit's Markdown."""
    return f":{state.colour}-badge[{state.label}]"
