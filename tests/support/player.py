"""Play histories to the product: the platform's rows and the jobs, each at its instant."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import Engine

from fleetmeter import StatsUpdaterService
from jobs import runner
from metering.config.settings import Settings
from metering.db.transactions import transaction
from metering.errors import AdjustmentRefused, MonthClosed, ProjectInactive
from metering.months import adjustments
from metering.months.adjustment import Adjustment
from metering.pricing.plans import load as plans_of
from metering.runs import definitions, lease, requests
from tests.support import runs
from tests.support.calculator import Step
from tests.support.histories import ORGANIZATIONS, PROJECTS, START, TIERS
from tests.support.platform import Platform

# A day is sealed, for the recount of late rows, when the history says so.
TEST_CLOCK = """
    CREATE TABLE test_clock (at timestamptz);
    INSERT INTO test_clock VALUES (now());
    CREATE FUNCTION test_clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT at FROM test_clock';
    ALTER TABLE daily_stats ALTER COLUMN created_at SET DEFAULT test_clock()"""


class Player:
    """A player of histories to the product; `played` holds the steps that it accepted.

    Several histories share a database, plans and jobs: a step of one of them names it as its `history`.
    """

    def __init__(self, settings: Settings, engine: Engine, histories: int = 1) -> None:
        self.settings, self.engine, self.at = settings, engine, START
        self.plans = plans_of(settings.plans)
        self.service = StatsUpdaterService(settings, engine, clock=lambda: self.at)
        self.platform = Platform(engine)
        self.platform.sql(TEST_CLOCK)
        self.organizations = [self.platform.organization(TIERS[0]) for _ in range(ORGANIZATIONS * histories)]
        self.projects = [
            self.platform.project(self.organizations[history * ORGANIZATIONS + owner], created_at=created)
            for history in range(histories)
            for owner, created in PROJECTS
        ]
        self.adjustments: list[tuple[int, Step]] = []  # its id, and the step that posted it
        self.played: list[Step] = []

    def play(self, step: Step) -> None:
        self.at = step["at"]
        self.platform.sql("UPDATE test_clock SET at = :at", at=self.at)
        history, values = step.get("history", 0), {}
        if "project" in step:
            values["project"] = self.projects[history * len(PROJECTS) + step["project"]]
        for name in {"organization", "to"} & step.keys():
            values[name] = self.organizations[history * ORGANIZATIONS + step[name]]
        act: Callable[[Step], Step | None] = getattr(self, "_" + step["do"])
        accepted = act(step | values)
        if accepted is not None:
            self.played.append(accepted)

    def _tier(self, step: Step) -> Step:
        self.platform.sql(
            "UPDATE organizations SET tier = :tier WHERE id = :id", tier=step["tier"], id=step["organization"]
        )
        return step

    def _move(self, step: Step) -> Step:
        self.platform.sql(
            "UPDATE projects SET organization_id = :to WHERE id = :id", to=step["to"], id=step["project"]
        )
        return step

    def _off(self, step: Step) -> Step | None:
        at = step["at"] if step["dated"] else None
        was_active = self.platform.rows(
            "SELECT FROM projects WHERE id = :id AND is_active", id=step["project"]
        )
        self.platform.sql(
            "UPDATE projects SET is_active = false, deactivated_at = :at WHERE id = :id AND is_active",
            at=at,
            id=step["project"],
        )
        return step if was_active else None

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
        accepted = step | {"meter": meter, "quantity": quantity, "amount": amount, "day": day}
        self.adjustments.append((identity, accepted))
        return accepted

    def _reverse(self, step: Step) -> Step | None:
        own = [one for one in self.adjustments if one[1].get("history", 0) == step.get("history", 0)]
        if step["of"] >= len(own):
            return None
        identity, adjustment = own[step["of"]]
        try:
            with transaction(self.engine) as connection:
                adjustments.reverse(
                    connection, adjustment["project"], identity, "a reason", "tester", self.plans, step["at"]
                )
        except AdjustmentRefused:
            return None
        quantity, amount = (
            None if adjustment[name] is None else -adjustment[name] for name in ("quantity", "amount")
        )
        return adjustment | {"at": step["at"], "quantity": quantity, "amount": amount}

    def _hourly(self, step: Step) -> Step:
        self.service.update_all_projects()
        return step

    def _daily(self, step: Step) -> Step:
        self.service.create_all_daily_snapshots()
        return step

    def _monthly(self, step: Step) -> Step:
        self.service.reset_all_monthly_stats()
        return step

    def _late(self, step: Step) -> Step | None:
        """Claim at the step's instant a run requested hours before.

        The schedule requested it; a runner executes it.
        """
        at = step["at"] - timedelta(hours=step["hours"])
        request = definitions.request(step["job"], at, "schedule", "schedule")
        with transaction(self.engine) as connection:
            run_id = requests.enqueue(connection, request)
            run = None if run_id is None else lease.claim(connection, "late", run_id)
        if run is None:  # a scheduled run is made once
            return None
        assert runs.execute(self.settings, self.engine, runner.timely(run, self.at)).state == "succeeded"
        return step | {"do": step["job"]}

    def _backfill(self, step: Step) -> Step | None:
        last = (step["at"] - timedelta(days=1 + step["ago"])).date()
        first = max(last - timedelta(days=step["days"]), step["opened"])
        if first > last:
            return None
        arguments = {"from": str(first), "to": str(last)}
        with suppress(MonthClosed):
            outcome = runs.run_now(self.settings, self.engine, "backfill", step["at"], arguments=arguments)
            assert outcome.state == "succeeded"
            return step | {"last": last}
        return None
