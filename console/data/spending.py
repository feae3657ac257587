"""The cost of the running month so far: rated beside the pages, a few projects at a time.

Rating ten thousand projects takes seconds, too long to wait for at a page. A thread does it in short
transactions, once for each scope, and the pages show its last result with its age.

No job keeps these charges: each message, correction and edition of the plans changes them, and only pages
ask for those of every project (alerts rate the projects that have a budget or are near a limit). For a
thousand projects a rating costs this process 0.4 s and PostgreSQL 3 s, at most every five minutes and only
while somebody looks.
"""

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

import streamlit as st
import structlog

from console.data.database import engine
from console.data.session import current_scope, now
from console.data.transactions import read_transaction_as
from metering.config.settings import current_settings
from metering.db.scope import Scope
from metering.errors import FleetmeterError
from metering.pricing import plans
from metering.running import organization_spend, spend

AT_ONCE = 50  # projects of one statement
REST = 0.05  # seconds between two statements: pages come first
PATIENCE = 0.25  # seconds that the first page waits: enough for a fleet that one statement rates
FRESH = timedelta(minutes=5)
LOG = structlog.get_logger("console")


@dataclass(frozen=True)
class Spending:
    """The month so far and as it is heading: by project, and summed by currency; rated at `at`."""

    at: datetime
    each: tuple[spend.Spend, ...]
    so_far: dict[str, Decimal]
    projected: dict[str, Decimal | None]
    overage_so_far: dict[str, Decimal]
    overage_projected: dict[str, Decimal]

    @property
    def projects(self) -> int:
        """Return the number of projects that have a price."""
        return len(self.each)

    def of_organization(self, organization_id: int) -> list[spend.Spend]:
        """Return the projects that an organization pays for."""
        return [one for one in self.each if one.organization_id == organization_id]


@dataclass
class Rating:
    """The last result of the rating, and the thread that makes the next one."""

    last: Spending | None = None
    rater: threading.Thread | None = None
    guard: threading.Lock = field(default_factory=threading.Lock)


def latest(scope: Scope, patience: float = 0.0) -> Spending | None:
    """Return the newest result, None until the first exists; start to refresh an old one.

    The first caller waits `patience` seconds for the first result.
    """
    rating = _rating_of(str(engine().url), scope)
    with rating.guard:
        stale = rating.last is None or now() - rating.last.at > FRESH
        if stale and (rating.rater is None or not rating.rater.is_alive()):
            rating.rater = threading.Thread(target=_rate, args=(rating, scope), daemon=True)
            rating.rater.start()
        else:
            patience = 0.0
    if rating.last is None and rating.rater is not None:
        rating.rater.join(patience)
    return rating.last


@st.fragment(run_every=2)
def await_rating() -> None:
    """Say that the month is being rated, and run the page again once it is."""
    st.caption(":material/hourglass_empty: Rating the month so far …")
    if latest(current_scope()) is not None:
        st.rerun()


def note(rating: Spending) -> str:
    """Say when the running month was rated, and what a projection assumes."""
    return f"Rated {rating.at:%Y-%m-%d %H:%M:%S} UTC. Projected: {spend.ASSUMPTION}."


def forget() -> None:
    """Drop the results, so that the month is rated again: a close or an adjustment has changed it."""
    _rating_of.clear()


@st.cache_resource(max_entries=1_000, show_spinner=False)
def _rating_of(server: str, scope: Scope) -> Rating:
    return Rating()


def _rate(rating: Rating, scope: Scope) -> None:
    try:
        rating.last = _rated(scope)
    except Exception as error:  # the thread's edge; a page that cannot read says so itself
        is_expected = isinstance(error, FleetmeterError)
        LOG.warning("rating.failed", reason=str(error), exc_info=not is_expected)


def _rated(scope: Scope) -> Spending:
    price_plans = plans.load(current_settings().plans)
    spends: list[spend.Spend] = []
    at, after = now(), 0
    while True:
        with read_transaction_as(scope) as page:
            some, last = spend.page(page.connection, price_plans, at, after, AT_ONCE)
        spends += some
        if last is None:
            return _summed(at, spends)
        after = last
        time.sleep(REST)


def _summed(at: datetime, spends: list[spend.Spend]) -> Spending:
    by_currency: dict[str, list[spend.Spend]] = {}
    for one in spends:
        by_currency.setdefault(one.currency, []).append(one)
    so_far = {name: sum((one.so_far for one in some), Decimal(0)) for name, some in by_currency.items()}
    projected = {name: organization_spend.projected_sum(some) for name, some in by_currency.items()}
    overage = {name: sum((one.overage for one in some), Decimal(0)) for name, some in by_currency.items()}
    more = {
        name: sum((one.projected_overage or one.overage for one in some), Decimal(0))
        for name, some in by_currency.items()
    }
    return Spending(at, tuple(spends), so_far, projected, overage, more)
