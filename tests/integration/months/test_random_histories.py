"""Bills of random histories agree with an independent calculator to the cent."""

import uuid
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from pprint import pformat
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st
from sqlalchemy import URL, Connection, text

from metering.config.settings import load_settings
from metering.db.engine import open_engine
from metering.proof.verify import verify
from tests.support import histories
from tests.support.calculator import Calculator, Project, Step
from tests.support.histories import END, Player

# Whatever happened before, every month is closed in the end and late rows are posted.
FINAL: list[Step] = [
    {"do": "daily", "at": END - timedelta(days=2)},
    {"do": "monthly", "at": END - timedelta(days=1)},
    {"do": "daily", "at": END},
]


def check(url: URL, folder: Path, steps: list[Step], plans: list[dict[str, Any]], prorate: bool) -> None:
    """Play a history to the product and to the calculator; their bills agree, and every law holds."""
    (folder / "plans.toml").write_text(histories.plan_file(plans, prorate))
    address = url.render_as_string(hide_password=False)
    settings = load_settings(database_url=address, plans=folder / "plans.toml", clock_tolerance=1e12)
    engine = open_engine(settings)
    try:
        player = Player(settings, engine)
        for step in sorted(steps, key=lambda step: step["at"]) + FINAL:
            player.play(step)
        assert bills_of(player) == expected(player, plans, prorate), pformat((player.played, plans, prorate))
        assert verify(engine).discrepancies == []
    finally:
        engine.dispose()


def bills_of(player: Player) -> dict[tuple[int, date], tuple[int, Decimal]]:
    query = "SELECT project_id, make_date(year, month, 1), organization_id, total_charge FROM monthly_stats"
    return {(row[0], row[1]): (row[2], Decimal(row[3])) for row in player.platform.rows(query)}


def expected(
    player: Player, plans: list[dict[str, Any]], prorate: bool
) -> dict[tuple[int, date], tuple[int, Decimal]]:
    projects = {
        project: Project(player.organizations[owner], created.date())
        for project, (owner, created) in zip(player.projects, histories.PROJECTS, strict=True)
    }
    tiers = dict.fromkeys(player.organizations, histories.TIERS[0])
    calculator = Calculator(plans, prorate, tiers, projects)
    for step in player.played:
        calculator.play(step)
    return {
        (number, month): bill for number, project in projects.items() for month, bill in project.bills.items()
    }


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(
    ("examples", "same"),
    [(4, True), pytest.param(2000, False, marks=pytest.mark.drill)],
    ids=["4", "2000"],
)
def test_bills_agree_with_an_independent_calculator(
    template: str, server: URL, admin: Connection, tmp_path: Path, examples: int, same: bool
) -> None:
    """The same histories each time in `make test`, other ones in each `make drill`."""

    @profile(
        max_examples=examples,
        derandomize=same,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(steps=histories.steps, plans=histories.plans, prorate=st.booleans())
    def agree(steps: list[Step], plans: list[dict[str, Any]], prorate: bool) -> None:
        name = f"history_{uuid.uuid4().hex[:12]}"
        admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        try:
            check(server.set(database=name), tmp_path, steps, plans, prorate)
        finally:
            admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    agree()
