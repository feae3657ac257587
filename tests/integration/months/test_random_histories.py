"""Bills of random histories agree with an independent calculator to the cent."""

import uuid
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from pprint import pformat

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as profile
from sqlalchemy import URL, Connection, text

from metering.config.settings import load_settings
from metering.db.engine import open_engine
from metering.proof.verify import verify
from tests.support import histories
from tests.support.calculator import Calculator, Project, Step
from tests.support.histories import END, Installation
from tests.support.player import Player

HISTORIES = 10  # in one database: the jobs and the proof take their time once

# Whatever happened before, every month is closed in the end and late rows are posted.
FINAL: list[Step] = [
    {"do": "daily", "at": END - timedelta(days=2)},
    {"do": "monthly", "at": END - timedelta(days=1)},
    {"do": "daily", "at": END},
]


def check(url: URL, folder: Path, installation: Installation) -> None:
    """Play histories to the product and to the calculator; their bills agree, and every law holds."""
    (folder / "plans.toml").write_text(histories.plan_file(installation.plans, installation.prorate))
    address = url.render_as_string(hide_password=False)
    settings = load_settings(database_url=address, plans=folder / "plans.toml", clock_tolerance=1e12)
    engine = open_engine(settings)
    try:
        player = Player(settings, engine, len(installation.histories))
        player.platform.installed(installation.installed)
        for step in installation.steps() + FINAL:
            player.play(step)
        assert bills_of(player) == expected(player, installation), pformat((player.played, installation))
        assert verify(engine).discrepancies == [], pformat((player.played, installation))
    finally:
        engine.dispose()


def bills_of(player: Player) -> dict[tuple[int, date], tuple[int, Decimal]]:
    query = "SELECT project_id, make_date(year, month, 1), organization_id, total_charge FROM monthly_stats"
    return {(row[0], row[1]): (row[2], Decimal(row[3])) for row in player.platform.rows(query)}


def expected(player: Player, installation: Installation) -> dict[tuple[int, date], tuple[int, Decimal]]:
    projects = {}
    for number, project in enumerate(player.projects):
        owner, created = histories.PROJECTS[number % len(histories.PROJECTS)]
        owner += number // len(histories.PROJECTS) * histories.ORGANIZATIONS
        opened = max(created.date(), installation.first_day)
        projects[project] = Project(player.organizations[owner], created.date(), opened)
    tiers = dict.fromkeys(player.organizations, histories.TIERS[0])
    calculator = Calculator(installation.plans, installation.prorate, tiers, projects)
    for step in player.played:
        calculator.play(step)
    return {
        (number, month): bill for number, project in projects.items() for month, bill in project.bills.items()
    }


@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize(
    ("installations", "same"),
    [(10, True), pytest.param(200, False, marks=pytest.mark.drill)],
    ids=["100", "2000"],
)
def test_bills_agree_with_an_independent_calculator(
    template: str, server: URL, admin: Connection, tmp_path: Path, installations: int, same: bool
) -> None:
    """The same 100 histories each time in `make test`, 2,000 other ones in each `make drill`."""

    @profile(
        max_examples=installations,
        derandomize=same,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        phases=[Phase.generate],  # an installation takes seconds: to shrink one would take minutes
    )
    @given(installation=histories.installation(HISTORIES))
    def agree(installation: Installation) -> None:
        name = f"history_{uuid.uuid4().hex[:12]}"
        admin.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        try:
            check(server.set(database=name), tmp_path, installation)
        finally:
            admin.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))

    agree()
