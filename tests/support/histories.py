"""Draw random histories of a platform, the jobs over them, and the plans that rate them."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.support.calculator import Step

START = datetime(2026, 1, 20, tzinfo=UTC)
MONTHS = [datetime(2026, month, 1, tzinfo=UTC) for month in (2, 3)]
END = datetime(2026, 3, 4, 1, tzinfo=UTC)
TIERS = ("free", "pro")
ORGANIZATIONS = 2
PROJECTS = ((0, START), (1, START + timedelta(days=5)))  # owner, and when it was created

# Boundaries over-represented: the last and the first instant of a month or a day.
_EDGES = [timedelta(seconds=-1), timedelta(0), timedelta(seconds=1), timedelta(hours=1)]
instants = st.one_of(
    st.builds(lambda month, edge: month + edge, st.sampled_from(MONTHS), st.sampled_from(_EDGES)),
    st.builds(
        lambda day, edge: START + timedelta(days=day) + edge, st.integers(1, 41), st.sampled_from(_EDGES)
    ),
    st.integers(1, 41 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds)),
)
counts = st.one_of(st.sampled_from([1, 499, 500, 501, 1000]), st.integers(1, 3000))
project = st.integers(0, len(PROJECTS) - 1)
organization = st.integers(0, ORGANIZATIONS - 1)
days = st.integers(0, 40)


def _step(do: str, **values: Any) -> st.SearchStrategy[Step]:
    return st.fixed_dictionaries({"do": st.just(do), "at": instants} | values)


# What the platform does, and what people post, in one history.
steps = st.lists(
    st.one_of(
        _step("tier", organization=organization, tier=st.sampled_from(TIERS)),
        _step("move", project=project, to=organization),
        _step("off", project=project, dated=st.booleans()),
        _step("on", project=project),
        _step("messages", project=project, count=counts),
        _step("messages", project=project, count=counts),
        _step("rows", project=project, meter=st.sampled_from(["logs", "api_calls"]), count=counts, late=days),
        _step("rows", project=project, meter=st.just("logs"), count=counts, late=st.just(0)),
        _step("adjust", project=project, quantity=st.integers(-900, 900), late=days),
        _step(
            "adjust",
            project=project,
            amount=st.integers(-900, 900).map(lambda n: Decimal(n) / 100),
            late=days,
        ),
        _step("reverse", of=st.integers(0, 3)),
    ),
    min_size=2,
    max_size=12,
)
BEFORE_THE_INSTALLATION = ("tier", "move", "off", "on", "rows")  # what a platform does on its own

# The jobs of an installation, which all of its histories share. Whatever is late is late by an hour or more,
# and at half past, since its readings are dated when they are made, some milliseconds later.
_late = st.fixed_dictionaries(
    {
        "do": st.just("late"),
        "at": instants.map(lambda at: at.replace(minute=30)),
        "job": st.sampled_from(["hourly", "daily", "daily", "monthly"]),
        "hours": st.sampled_from([1, 9, 26, 75]),
    }
)
jobs = st.lists(
    st.one_of(
        _step("hourly"),
        _step("daily"),
        _step("daily"),
        _step("monthly"),
        _late,
        _step("backfill", ago=st.integers(0, 3), days=st.integers(0, 9)),
    ),
    min_size=1,
    max_size=7,
)
# Before the first step, or at any instant: then its month is open from its beginning, and earlier ones are
# history.
installations = st.one_of(st.just(START - timedelta(days=30)), instants)


@dataclass(frozen=True)
class Installation:
    """An installation and its histories, with its jobs and its plans."""

    installed: datetime
    jobs: list[Step]
    histories: list[list[Step]]
    plans: list[dict[str, Any]]
    prorate: bool

    @property
    def first_day(self) -> date:
        """Return the first day that is billed."""
        return self.installed.date().replace(day=1)

    def steps(self) -> list[Step]:
        """Return the steps of all histories and jobs in order.

        Steps that need an installation are left out before there is one.
        """
        own = [
            step | {"history": number}
            for number, steps in enumerate(self.histories)
            for step in steps
            if step["at"] >= self.installed or step["do"] in BEFORE_THE_INSTALLATION
        ]
        shared = [step | {"opened": self.first_day} for step in self.jobs if step["at"] >= self.installed]
        return sorted(own + shared, key=lambda step: step["at"])


_meters = st.fixed_dictionaries(
    {
        meter: st.tuples(
            st.sampled_from([0, 500, 1000]),
            st.sampled_from(["0.01", "0.005", "0.333"]),
            st.sampled_from([1, 7]),
        )
        for meter in ("mqtt_inbound", "logs", "api_calls")
    }
)
_tiers = st.fixed_dictionaries(
    {
        name: st.fixed_dictionaries({"fee": st.sampled_from(["0", "10.00", "99.99"]), "meters": _meters})
        for name in TIERS
    }
)
plans = st.lists(st.fixed_dictionaries({"tiers": _tiers}), min_size=1, max_size=2).flatmap(
    lambda versions: st.sampled_from(
        [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 15), date(2026, 2, 28)]
    ).map(
        lambda later: [
            version | {"effective": date(2025, 1, 1) if number == 0 else later}
            for number, version in enumerate(versions)
        ]
    )
)


def plan_file(versions: list[dict[str, Any]], prorate: bool) -> str:
    """Return plans as the TOML that `FLEETMETER_PLANS` names."""
    lines = []
    for version in versions:
        lines += ["[[versions]]", f"effective = {version['effective']}", 'currency = "EUR"']
        lines.append(f"prorate = {str(prorate).lower()}")
        for name, tier in version["tiers"].items():
            lines += [f"[versions.tiers.{name}]", f'fee = "{tier["fee"]}"']
            for meter, (included, price, size) in tier["meters"].items():
                lines += [
                    f"[versions.tiers.{name}.meters.{meter}]",
                    f"included = {included}",
                    f'overage = {{ model = "package", price = "{price}", size = {size} }}',
                ]
    return "\n".join(lines)


def installation(histories: int) -> st.SearchStrategy[Installation]:
    """Draw an installation with that many histories."""
    return st.builds(
        Installation,
        installations,
        jobs,
        st.lists(steps, min_size=histories, max_size=histories),
        plans,
        st.booleans(),
    )
