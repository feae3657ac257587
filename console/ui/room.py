"""Reserve height for elements that Streamlit draws late, so that the elements below do not move.

Streamlit shows a low placeholder until the code of an element has arrived. `console.index` puts a style for
each multiple of STEP into the page: as long as a container holds a placeholder, it is that high.
"""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

STEP, MOST = 20, 1_600  # pixels


def room(key: str, wide: int, narrow: int | None = None, **layout: Any) -> DeltaGenerator:
    """Return a container that is `wide` pixels high, on a phone `narrow`, until it is drawn."""
    return st.container(key=f"room-w{_rounded(wide)}-n{_rounded(narrow or wide)}-{key}", **layout)


def controls(key: str) -> DeltaGenerator:
    """Return a row of fields with labels above them; below each other on a phone (`console.css`)."""
    return st.container(horizontal=True, vertical_alignment="bottom", key=f"controls-{key}")


def _rounded(pixels: int) -> int:
    return max(STEP, min(MOST, round(pixels / STEP) * STEP))


def css(narrow: int) -> str:
    """Return the rules; `narrow` is the widest screen in pixels that shows cards."""
    heights = range(STEP, MOST + 1, STEP)

    def rules(mark: str) -> str:
        waits = ":has([data-testid=stSkeleton])"
        return "".join(f"[class*='-{mark}{h}-']{waits}{{min-height:{h}px}}" for h in heights)

    wide, phone = rules("w"), rules("n")
    return f"@media (min-width:{narrow + 1}px){{{wide}}}@media (max-width:{narrow}px){{{phone}}}"
