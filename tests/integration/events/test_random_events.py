"""Random events against a plain calculator: boundaries, duplicates, late ones, sums and largest ones."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from metering.catalogue import own_meters
from metering.catalogue.own_meters import LARGEST, OwnMeter
from metering.catalogue.periods import Day, Month, days
from metering.days.seal import seal_through
from metering.db.transactions import transaction
from metering.events.batch import Receipt
from metering.events.receive import receive
from metering.events.reported_project import Sender
from metering.months.close import close_month
from metering.pricing import plans
from metering.proof.verify import verify
from tests.support.platform import Platform

METERS = {"total": OwnMeter("total", "s", "sum", "Sum", ""), "most": OwnMeter("most", "r", "max", "Max", "")}
START, END = datetime(2026, 9, 29, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)
EDGES = (timedelta(0), timedelta(microseconds=-1), timedelta(minutes=59, seconds=59.999999))
QUANTITIES = (0, 1, 7, 1_000, LARGEST, LARGEST - 1)
TOLERANCE = 1e9


class Calculator:
    """What the events of one project should give, by hour; `sealed` is the first instant that is open."""

    def __init__(self) -> None:
        self.hours: dict[tuple[str, datetime], int] = {}
        self.known: set[str] = set()
        self.sealed = START

    def take(self, id: str, meter: str, time: datetime, quantity: int) -> str:
        if id in self.known:
            return "duplicate"
        if time < START:
            return "before_creation"
        if time < self.sealed:
            return "too_late"
        total = sum(count for (name, _), count in self.hours.items() if name == "total")
        if meter == "total" and total + quantity > LARGEST:
            return "total_too_large"
        self.known.add(id)
        key = meter, time.replace(minute=0, second=0, microsecond=0)
        earlier = self.hours.get(key, 0)
        self.hours[key] = max(earlier, quantity) if meter == "most" else earlier + quantity
        return "accepted"

    def cells(self, start: datetime, end: datetime) -> dict[str, int]:
        values: dict[str, list[int]] = {}
        for (name, hour), quantity in self.hours.items():
            if start <= hour < end and quantity:
                values.setdefault(name, []).append(quantity)
        return {name: max(some) if name == "most" else sum(some) for name, some in values.items()}


def send(engine: Engine, batch: list[dict[str, Any]], at: datetime) -> Receipt:
    with transaction(engine) as connection:
        own_meters.declare(connection, METERS, at)
        return receive(connection, batch, METERS, Sender(None, "tests"), at, TOLERANCE)


@pytest.mark.parametrize("seed", [1, 2])
def test_events_count_as_a_calculator_counts_them(engine: Engine, platform: Platform, seed: int) -> None:
    chance, organization = random.Random(seed), platform.organization("pro")
    books = {platform.project(organization, created_at=START.isoformat()): Calculator() for _ in range(3)}
    for today in days(Day.of(START), Day.of(END - timedelta(days=1))):
        for _ in range(6):
            _exchange(engine, chance, books, today)
        sealed = [project for project in books if chance.random() < 0.8]
        with transaction(engine) as connection:
            seal_through(connection, today, sealed, today.end)
        for project in sealed:
            books[project].sealed = today.end
    september = Month.of(START)
    with transaction(engine) as connection:
        close_month(connection, september, list(books), plans.load(None), END, "tests")
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT project_id, hour, meters FROM usage_hourly WHERE meters <> '{}'")
        )
        hours = {(row.project_id, row.hour): row.meters for row in rows}
        stats = connection.execute(
            text("SELECT project_id, meters, lifetime_meters FROM project_stats")
        ).all()
    hour = timedelta(hours=1)
    expected = {
        (project, start): book.cells(start, start + hour)
        for project, book in books.items()
        for start in {start for _, start in book.hours}
    }
    assert hours == {key: cell for key, cell in expected.items() if cell}
    assert {row.project_id: (row.meters, row.lifetime_meters) for row in stats} == {
        project: (book.cells(september.end, END + hour), book.cells(START, september.end))
        for project, book in books.items()
    }
    assert verify(engine).discrepancies == []


def _exchange(engine: Engine, chance: random.Random, books: dict[int, Calculator], today: Day) -> None:
    batch, expected = [], []
    for _ in range(chance.randrange(1, 25)):
        project, id = chance.choice(list(books)), str(chance.randrange(200))
        meter, quantity = chance.choice(["total", "most"]), chance.choice(QUANTITIES)
        past = timedelta(hours=chance.choice([0, 0, 1, 5, 23, 24, 30, 48]))
        time = today.start + timedelta(hours=23) - past + chance.choice(EDGES)
        event = {"specversion": "1.0", "id": id, "source": f"urn:{project}", "type": meter}
        batch.append(
            event | {"subject": str(project), "time": time.isoformat(), "data": {"quantity": quantity}}
        )
        expected.append((books[project], id, meter, time, quantity))
    too_large: set[tuple[Calculator, str]] = set()  # what repeats a refused sum in its batch is refused too
    outcomes = []
    for book, id, *rest in expected:
        outcomes.append("total_too_large" if (book, id) in too_large else book.take(id, *rest))
        if outcomes[-1] == "total_too_large":
            too_large.add((book, id))
    receipt = send(engine, batch, today.end)
    assert receipt.accepted == outcomes.count("accepted")
    assert receipt.duplicates == outcomes.count("duplicate")
    assert [refusal["reason"] for refusal in receipt.refused] == [
        outcome for outcome in outcomes if outcome not in ("accepted", "duplicate")
    ]
