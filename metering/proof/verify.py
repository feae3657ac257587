"""The laws, checked: `fleetmeter verify`. Everything is read in one snapshot, set by set.

Each law is a query of its discrepancies: project, period, the expected value, the value in the database.
Missing days break no law: `fleetmeter missing` lists them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text

from metering.db.transactions import read_snapshot
from metering.months import billed_month, rerate
from metering.proof import offline
from metering.proof.laws import LAWS
from metering.proof.retained import kept_from


@dataclass(frozen=True)
class Discrepancy:
    """A broken law: where (project 0: of no project), the expected value and the one in the database."""

    law: str
    project_id: int
    period: str
    meter: str
    expected: str
    found: str

    def __str__(self) -> str:
        whose = f"project {self.project_id}, " if self.project_id else ""
        return f"{self.law}: {whose}{self.period}, {self.meter}: expected {self.expected}, found {self.found}"


@dataclass
class Report:
    """The number of rows checked for each law, and the discrepancies."""

    checked: dict[str, int] = field(default_factory=dict)
    discrepancies: list[Discrepancy] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Return whether there is no discrepancy."""
        return not self.discrepancies

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        discrepancies = [asdict(discrepancy) for discrepancy in self.discrepancies]
        return {"sound": self.sound, "checked": self.checked, "discrepancies": discrepancies}


RATED = "rating a bill again gives the same"
CORRECTED = "corrections of a month = the month rated again - its bill"
EXPORTED = "the database has the exported seals"


def verify(
    engine: Engine,
    progress: Callable[[str, int, int], None] | None = None,
    exported: Sequence[Path] = (),
) -> Report:
    """Check every law in one REPEATABLE READ snapshot; `progress` gets law, done and total.

    `exported`: files of exported months or days, whose hashes the database must still have. Raises
    FleetmeterError when one is no export.
    """
    report = Report()
    report_progress = progress or (lambda law, completed, total: None)
    with read_snapshot(engine) as connection:
        for completed, (law, (query, table)) in enumerate(LAWS.items()):
            report_progress(law, completed, len(LAWS) + 1)
            report.checked[law] = connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0
            report.discrepancies.extend(_discrepancies(connection, law, query))
        report_progress(RATED, len(LAWS), len(LAWS) + 1)
        report.checked[RATED] = report.checked["a bill adds up"]
        again = rerate.differences(connection, kept_from("daily_stats"))
        report.discrepancies.extend(Discrepancy(RATED, *difference) for difference in again)
        query = f"SELECT count(*) FROM adjustments WHERE {billed_month.VALUED}"
        report.checked[CORRECTED] = connection.scalar(text(query)) or 0
        corrected = billed_month.differences(connection, kept_from("daily_stats"))
        report.discrepancies.extend(Discrepancy(CORRECTED, *difference) for difference in corrected)
        if exported:
            _compare_exports(connection, exported, report)
    return report


def _discrepancies(connection: Connection, law: str, query: str) -> Iterator[Discrepancy]:
    for row in connection.execute(text(f"{query} ORDER BY 1, 2, 3")):
        yield Discrepancy(law, *row)


STORED = """
    SELECT e.project_id, e.period, '{name}', e.hash, coalesce(k.{name}, 'no such row')
    FROM unnest(CAST(:projects AS bigint[]), CAST(:periods AS text[]), CAST(:hashes AS text[]))
        AS e (project_id, period, hash)
    LEFT JOIN {table} k ON k.project_id = e.project_id AND {key}
    WHERE k.{name} IS DISTINCT FROM e.hash ORDER BY 1, 2"""
STORED_SEALS = STORED.format(
    name="seal",
    table="monthly_stats",
    key="(k.year, k.month) = (left(e.period, 4)::int, right(e.period, 2)::int)",
)
STORED_DAYS = STORED.format(name="row_hash", table="daily_stats", key="k.date = e.period::date")


def _compare_exports(connection: Connection, exported: Sequence[Path], report: Report) -> None:
    """Detect rows that a superuser rewrote together with their hashes, by comparing with exports."""
    check = offline.examine(exported)
    discrepancies = [
        Discrepancy(EXPORTED, 0, "the export", "itself", "sound", sentence)
        for sentence in check.discrepancies
    ]
    seals = {
        (project, f"{year}-{month:02d}"): bill.seal for (project, year, month), bill in check.bills.items()
    }
    hashes = {key: day.row_hash for key, day in check.days.items()}
    for query, by_period in ((STORED_SEALS, seals), (STORED_DAYS, hashes)):
        projects, periods = zip(*by_period, strict=True) if by_period else ((), ())
        parameters = {
            "projects": list(projects),
            "periods": list(periods),
            "hashes": list(by_period.values()),
        }
        rows = connection.execute(text(query), parameters)
        discrepancies.extend(Discrepancy(EXPORTED, *row) for row in rows)
    report.checked[EXPORTED] = len(seals) + len(hashes)
    report.discrepancies.extend(discrepancies)
