"""The rate of the fleet's messages, from samples that are read every two seconds."""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import streamlit as st

from console.data.database import engine
from console.data.queries import fleet
from console.data.session import current_scope
from console.data.transactions import read_transaction
from console.ui import error_boundary
from metering.db.scope import Scope

HEIGHT = 192  # pixels: cards with and without a chart are of one height

Sample = tuple[datetime, int]  # the database's clock, and messages counted up to then


@st.cache_resource(show_spinner=False, max_entries=1_000)
def _samples(server: str, scope: Scope) -> deque[Sample]:
    return deque(maxlen=60)


@st.fragment(run_every=2)
@error_boundary.optional
def render() -> None:
    """Show the messages per second, with a chart of the last samples."""
    with read_transaction() as page:
        messages, at = fleet.message_count(page.connection)
    samples = _samples(str(engine().url), current_scope())
    if not samples or at > samples[-1][0]:
        samples.append((at, messages))
    rate = per_second(list(samples))
    st.metric(
        "Messages per second",
        "measuring…" if rate is None else f"{rate:,.0f}" if rate >= 10 else f"{rate:,.1f}",
        help="Counted by the MQTT daemon and written to the ledger, over the last ten seconds",
        border=True,
        height=HEIGHT,
        chart_data=_rates(list(samples)) if len(samples) > 3 else None,
    )


def per_second(samples: Sequence[Sample], window: float = 10.0) -> float | None:
    """Return messages a second over the last `window` seconds; None with a single sample."""
    recent = [sample for sample in samples if (samples[-1][0] - sample[0]).total_seconds() <= window]
    seconds = (recent[-1][0] - recent[0][0]).total_seconds() if recent else 0.0
    return (recent[-1][1] - recent[0][1]) / seconds if seconds > 0.5 else None


def _rates(samples: Sequence[Sample]) -> list[float]:
    pairs = pairwise(samples)
    return [(b[1] - a[1]) / max((b[0] - a[0]).total_seconds(), 0.1) for a, b in pairs]
