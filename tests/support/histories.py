"""Draw random histories of a platform, and play them to the product."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Engine

from fleetmeter import StatsUpdaterService
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused, ProjectInactive
from metering.months import adjustments
from metering.months.adjustments import Adjustment
from metering.pricing.plans import load as plans_of
from tests.support.calculator import Step
from tests.support.platform import Platform

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
        _step("hourly"),
        _step("daily"),
        _step("daily"),
        _step("monthly"),
    ),
    min_size=4,
    max_size=18,
)
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
    """Write plans as the TOML of `FLEETMETER_PLANS`."""
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


# A day is sealed, for the recount of late rows, when the history says so.
TEST_CLOCK = """
    CREATE TABLE test_clock (at timestamptz);
    INSERT INTO test_clock VALUES (now());
    CREATE FUNCTION test_clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM test_clock';
    ALTER TABLE daily_stats ALTER COLUMN created_at SET DEFAULT test_clock()"""


class Player:
    """Does to the product what a history says; `played` holds the steps that it accepted."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self.engine, self.at = engine, START
        self.plans = plans_of(settings.plans)
        self.service = StatsUpdaterService(settings, engine, clock=lambda: self.at)
        self.platform = Platform(engine)
        self.platform.sql(TEST_CLOCK)
        self.organizations = [self.platform.organization(TIERS[0]) for _ in range(ORGANIZATIONS)]
        self.projects = [
            self.platform.project(self.organizations[owner], created_at=created)
            for owner, created in PROJECTS
        ]
        self.adjustments: list[tuple[int, Step]] = []  # its id, and the step that posted it
        self.played: list[Step] = []

    def play(self, step: Step) -> None:
        self.at = step["at"]
        self.platform.sql("UPDATE test_clock SET at = :at", at=self.at)
        values = {"project": self.projects[step["project"]]} if "project" in step else {}
        act: Callable[[Step], Step | None] = getattr(self, "_" + step["do"])
        done = act(step | values)
        if done is not None:
            self.played.append(done)

    def _tier(self, step: Step) -> Step:
        organization = self.organizations[step["organization"]]
        self.platform.sql(
            "UPDATE organizations SET tier = :tier WHERE id = :id", tier=step["tier"], id=organization
        )
        return step | {"organization": organization}

    def _move(self, step: Step) -> Step:
        to = self.organizations[step["to"]]
        self.platform.sql(
            "UPDATE projects SET organization_id = :to WHERE id = :id", to=to, id=step["project"]
        )
        return step | {"to": to}

    def _off(self, step: Step) -> Step | None:
        at = step["at"] if step["dated"] else None
        done = self.platform.rows("SELECT FROM projects WHERE id = :id AND is_active", id=step["project"])
        self.platform.sql(
            "UPDATE projects SET is_active = false, deactivated_at = :at WHERE id = :id AND is_active",
            at=at,
            id=step["project"],
        )
        return step if done else None

    def _on(self, step: Step) -> Step:
        self.platform.sql(
            "UPDATE projects SET is_active = true, deactivated_at = NULL WHERE id = :id", id=step["project"]
        )
        return step

    def _messages(self, step: Step) -> Step:
        with suppress(ProjectInactive):  # the calculator decides on its own whether it counts
            self.service.increment_mqtt_inbound(step["project"], step["count"])
        return step

    def _rows(self, step: Step) -> Step:
        written = step["at"] - timedelta(days=step["late"]) - timedelta(seconds=1)
        columns = f"INSERT INTO {step['meter']} (project_id, created_at)"
        self.platform.sql(
            f"{columns} SELECT :id, :at FROM generate_series(1, :count)",
            id=step["project"],
            at=written,
            count=step["count"],
        )
        return step | {"created_at": written}

    def _adjust(self, step: Step) -> Step | None:
        day = (step["at"] - timedelta(days=step["late"])).date()
        quantity, amount = step.get("quantity"), step.get("amount")
        meter = None if quantity is None else "mqtt_inbound"
        correction = Adjustment(step["project"], meter, quantity, amount, day, "a reason", "tester")
        try:
            with transaction(self.engine) as connection:
                identity = adjustments.post(connection, correction, self.plans, step["at"])
        except AdjustmentRefused:
            return None
        done = step | {"meter": meter, "quantity": quantity, "amount": amount, "day": day}
        self.adjustments.append((identity, done))
        return done

    def _reverse(self, step: Step) -> Step | None:
        if step["of"] >= len(self.adjustments):
            return None
        identity, posted = self.adjustments[step["of"]]
        try:
            with transaction(self.engine) as connection:
                adjustments.reverse(
                    connection, posted["project"], identity, "a reason", "tester", self.plans, step["at"]
                )
        except AdjustmentRefused:
            return None
        quantity, amount = (
            None if posted[name] is None else -posted[name] for name in ("quantity", "amount")
        )
        return posted | {"at": step["at"], "quantity": quantity, "amount": amount}

    def _hourly(self, step: Step) -> Step:
        self.service.update_all_projects()
        return step

    def _daily(self, step: Step) -> Step:
        self.service.create_all_daily_snapshots()
        return step

    def _monthly(self, step: Step) -> Step:
        self.service.reset_all_monthly_stats()
        return step
