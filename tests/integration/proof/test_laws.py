"""The laws hold after any order of flushes, recounts, seals, closes and late jobs."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import URL, Connection, Engine, create_engine, text

from metering.catalogue import projects
from metering.catalogue.periods import Day, Month
from metering.days.seal import seal_through
from metering.db.transactions import advisory_lock, transaction
from metering.errors import PeriodError
from metering.ledger.mqtt import MqttUsage, add_mqtt
from metering.ledger.recount import apply_staged
from metering.ledger.staging import TableCount, stage
from metering.months.close import close_month
from metering.months.due import due_months
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.platform import Platform

START = datetime(2026, 9, 28, 6, tzinfo=UTC)


class Books(RuleBasedStateMachine):
    """Two projects, a clock that only goes forward, and everything that writes the ledger."""

    template: str
    server: URL
    admin: Connection

    @initialize()
    def open(self) -> None:
        self.name = f"laws_{uuid.uuid4().hex[:12]}"
        self.admin.execute(text(f'CREATE DATABASE "{self.name}" TEMPLATE "{self.template}"'))
        self.engine: Engine = create_engine(
            self.server.set(database=self.name), connect_args={"options": "-c timezone=UTC"}
        )
        self.platform = Platform(self.engine)
        self.at = START
        organization = self.platform.organization()
        self.keys = [(organization, self.platform.project(organization, created_at=START)) for _ in range(2)]
        self.counted = {project: 0 for _, project in self.keys}
        self.logged = {project: 0 for _, project in self.keys}

    @rule(hours=st.sampled_from([0.5, 1, 7, 24, 24 * 6]))
    def time_passes(self, hours: float) -> None:
        self.at += timedelta(hours=hours)

    @rule(which=st.integers(0, 1), messages=st.integers(1, 1000), late=st.sampled_from([0, 1, 30]))
    def messages_arrive(self, which: int, messages: int, late: int) -> None:
        """A flush whose clock lags behind, even past a seal, is counted all the same."""
        moment = max(START, self.at - timedelta(hours=late))
        with transaction(self.engine) as connection:
            usage = {self.keys[which]: MqttUsage(messages, 0, 0, 0, "topic")}
            add_mqtt(connection, usage, moment)
        self.counted[self.keys[which][1]] += messages

    @rule(which=st.integers(0, 1), rows=st.integers(1, 20))
    def robots_log(self, which: int, rows: int) -> None:
        self.platform.logs(self.keys[which][1], self.at - timedelta(seconds=1), rows)
        self.logged[self.keys[which][1]] += rows

    @rule()
    def refresh(self) -> None:
        with transaction(self.engine) as connection:
            select = """SELECT project_id, date_trunc('hour', created_at, 'UTC'), count(*)
                FROM logs GROUP BY 1, 2"""
            advisory_lock(connection, "platform_db")
            stage(connection, "platform_db", {"logs": TableCount(("logs",), select)}, {})
            ids = [project for _, project in self.keys]
            end = self.at.replace(minute=0) + timedelta(hours=1)
            apply_staged(connection, "platform_db", ids, START - timedelta(days=1), end, self.at)

    @rule()
    def seal(self) -> None:
        self.refresh()
        with transaction(self.engine) as connection:
            day = Day.of(self.at).previous()
            seal_through(connection, day, projects.ids(connection), self.at)

    @rule()
    def close(self) -> None:
        self.refresh()
        with transaction(self.engine) as connection:
            for month in due_months(connection, self.at):
                ids = projects.ids(connection)
                close_month(connection, month, ids, plans.load(None), self.at, "test")

    @rule()
    def close_the_running_month(self) -> None:
        with (
            pytest.raises(PeriodError),
            transaction(self.engine) as connection,
        ):
            ids = projects.ids(connection)
            month = Month.of(self.at)
            close_month(connection, month, ids, plans.load(None), self.at, "test")

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            self.engine.dispose()
            self.admin.execute(text(f'DROP DATABASE "{self.name}" WITH (FORCE)'))

    @invariant()
    def every_law_holds(self) -> None:
        if hasattr(self, "keys"):
            assert verify(self.engine).discrepancies == []

    @invariant()
    def no_message_is_lost_or_doubled(self) -> None:
        if hasattr(self, "keys"):
            rows = self.platform.rows(
                "SELECT project_id, mqtt_inbound + lifetime_mqtt_inbound FROM project_stats"
            )
            totals = dict.fromkeys(self.counted, 0) | {project: total for project, total in rows}
            assert {project: totals[project] for project in self.counted} == self.counted


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("examples", [5, pytest.param(200, marks=pytest.mark.drill)])
def test_the_laws_hold_in_any_order(template: str, server: URL, admin: Connection, examples: int) -> None:
    here = {"template": template, "server": server, "admin": admin}
    machine = type("BooksHere", (Books,), here)
    machine.TestCase.settings = settings(
        max_examples=examples,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase().runTest()
