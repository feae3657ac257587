"""The laws, checked: `fleetmeter verify`. Everything is read in one snapshot, set by set.

Each law is a query that returns what breaks it: project, period, what was expected, what stands
there. Missing days are not its business: `fleetmeter missing` lists those.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, text

from metering import database, rerating
from metering.closing import SEAL
from metering.meters import COUNTER_NAMES, GAUGE_NAMES, columns
from metering.snapshots import ROW_HASH

_SUMS = columns("coalesce(sum({0}), 0)::bigint AS {0}")


@dataclass(frozen=True)
class Discrepancy:
    """One broken law: where, what the law expects and what the database holds."""

    law: str
    project_id: int
    period: str
    meter: str
    expected: str
    found: str

    def __str__(self) -> str:
        return (
            f"{self.law}: project {self.project_id}, {self.period}, {self.meter}: "
            f"expected {self.expected}, found {self.found}"
        )


@dataclass
class Report:
    """What was checked, row by row for each law, and what was found broken."""

    checked: dict[str, int] = field(default_factory=dict)
    discrepancies: list[Discrepancy] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        return not self.discrepancies

    def as_json(self) -> dict[str, Any]:
        found = [asdict(discrepancy) for discrepancy in self.discrepancies]
        return {"sound": self.sound, "checked": self.checked, "discrepancies": found}


def _sums(pairs: str, names: tuple[str, ...] = COUNTER_NAMES) -> str:
    """Compare columns `x` and `expected_x` of `pairs`; one row for each that differs."""
    values = columns("('{0}', c.expected_{0}, c.{0})", names)
    return f"""
        SELECT c.project_id, c.period, v.meter, v.expected::text, v.found::text FROM ({pairs}) c
        CROSS JOIN LATERAL (VALUES {values}) AS v (meter, expected, found)
        WHERE v.expected IS DISTINCT FROM v.found"""


_COUNTED = columns("coalesce(e.{0}, 0)::bigint AS expected_{0}, s.{0}")

RUNNING_TOTALS = _sums(f"""
    SELECT s.project_id, 'open months' AS period, {_COUNTED} FROM project_stats s LEFT JOIN (
        SELECT u.project_id, {columns("sum(u.{0}) AS {0}")} FROM usage_hourly u
        LEFT JOIN monthly_stats m ON m.project_id = u.project_id
            AND (m.year, m.month) = (extract(year FROM u.hour), extract(month FROM u.hour))
        WHERE m.project_id IS NULL GROUP BY u.project_id) e USING (project_id)""")


def kept_from(table: str) -> str:
    """SQL of the date from which retention, which logs what it removes, has kept `table` whole."""
    return f"""coalesce((SELECT max((a.after->>'before')::date) FROM audit_log a
        WHERE a.action = 'retention' AND a.subject = '{table}'), '-infinity')"""


DAYS = _sums(f"""
    SELECT s.project_id, s.date::text AS period, {_COUNTED} FROM daily_stats s LEFT JOIN (
        SELECT project_id, (hour AT TIME ZONE 'UTC')::date AS date, {_SUMS}
        FROM usage_hourly GROUP BY 1, 2) e USING (project_id, date)
    WHERE s.date >= {kept_from("usage_hourly")}""")

MONTHS = _sums(
    f"""
    SELECT s.project_id, format('%s-%s', s.year, lpad(s.month::text, 2, '0')) AS period,
        {columns("coalesce(e.{0}, 0) + coalesce(a.{0}, 0) AS expected_{0}, s.{0}")},
        {columns("e.peak_{0} AS expected_peak_{0}, s.peak_{0}", GAUGE_NAMES)}
    FROM monthly_stats s LEFT JOIN (
        SELECT project_id, year, month, {_SUMS}, {columns("max({0}) AS peak_{0}", GAUGE_NAMES)}
        FROM daily_stats GROUP BY project_id, year, month) e USING (project_id, year, month)
    LEFT JOIN (
        SELECT project_id, posted_month,
            {columns("sum(quantity) FILTER (WHERE meter = '{0}')::bigint AS {0}")}
        FROM adjustments GROUP BY project_id, posted_month) a
        ON a.project_id = s.project_id AND a.posted_month = make_date(s.year, s.month, 1)
    WHERE make_date(s.year, s.month, 1) >= {kept_from("daily_stats")}""",
    (*COUNTER_NAMES, *(f"peak_{name}" for name in GAUGE_NAMES)),
)

LIFETIME = _sums(f"""
    SELECT s.project_id, 'lifetime' AS period,
        {columns("coalesce(e.{0}, 0)::bigint AS expected_{0}, s.lifetime_{0} AS {0}")}
    FROM project_stats s LEFT JOIN (
        SELECT project_id, {_SUMS} FROM monthly_stats GROUP BY project_id) e USING (project_id)""")

# What was counted before the watermark and never sealed would never be billed.
STRANDED_HOURS = f"""
    SELECT u.project_id, u.hour::text, 'hours', 'sealed', 'not sealed'
    FROM usage_hourly u JOIN project_stats s USING (project_id)
    WHERE u.hour < s.open_from AND {columns("u.{0}", joiner=" + ")} > 0 AND NOT EXISTS (
        SELECT FROM daily_stats d WHERE d.project_id = u.project_id
        AND d.date = (u.hour AT TIME ZONE 'UTC')::date)
        AND (u.hour AT TIME ZONE 'UTC')::date >= {kept_from("daily_stats")}"""

DAY_HASHES = f"""
    SELECT project_id, date::text, 'row_hash', expected, row_hash FROM (
        SELECT d.project_id, d.date, d.row_hash, {ROW_HASH.format(row="d")} AS expected
        FROM daily_stats d) h WHERE expected <> row_hash"""

_PERIOD = "format('%s-%s', b.year, lpad(b.month::text, 2, '0'))"

MONTH_SEALS = f"""
    SELECT project_id, period, 'seal', coalesce(expected, 'its days'), seal FROM (
        SELECT b.project_id, {_PERIOD} AS period, b.seal, {SEAL} AS expected
        FROM monthly_stats b LEFT JOIN (
            SELECT project_id, year, month, string_agg(row_hash, E'\\n' ORDER BY date) AS hashes
            FROM daily_stats GROUP BY project_id, year, month) days USING (project_id, year, month)
        WHERE make_date(b.year, b.month, 1) >= {kept_from("daily_stats")}
    ) s WHERE expected IS DISTINCT FROM seal"""

SEAL_CHAIN = f"""
    SELECT project_id, period, 'previous_seal', expected, previous_seal FROM (
        SELECT b.project_id, {_PERIOD} AS period, b.previous_seal,
            coalesce(lag(b.seal) OVER (PARTITION BY b.project_id ORDER BY b.year, b.month), '') AS expected
        FROM monthly_stats b) s WHERE expected <> previous_seal"""

BILL_SUMS = f"""
    SELECT b.project_id, {_PERIOD}, 'total_charge',
        (b.plan_fee + b.overage_charge + b.adjustment_charge)::text, b.total_charge::text
    FROM monthly_stats b
    WHERE b.total_charge <> b.plan_fee + b.overage_charge + b.adjustment_charge"""

LAWS: dict[str, tuple[str, str]] = {
    "project_stats = hours of the open months": (RUNNING_TOTALS, "project_stats"),
    "a day = its hours": (DAYS, "daily_stats"),
    "a month = its days + adjustments": (MONTHS, "monthly_stats"),
    "lifetime = all closed months": (LIFETIME, "project_stats"),
    "no counted hour is left unsealed": (STRANDED_HOURS, "usage_hourly"),
    "a sealed day is as it was sealed": (DAY_HASHES, "daily_stats"),
    "a closed month is as it was sealed": (MONTH_SEALS, "monthly_stats"),
    "seals form a chain": (SEAL_CHAIN, "monthly_stats"),
    "a bill adds up": (BILL_SUMS, "monthly_stats"),
}

RATED = "rating a bill again gives the same"


def verify(engine: Engine, progress: Callable[[str, int, int], None] | None = None) -> Report:
    """Check every law in one REPEATABLE READ snapshot; `progress` gets law, done and total."""
    report = Report()
    with database.snapshot(engine) as connection:
        for done, (law, (query, table)) in enumerate(LAWS.items()):
            if progress:
                progress(law, done, len(LAWS))
            report.checked[law] = connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0
            report.discrepancies.extend(_broken(connection, law, query))
        if progress:
            progress(RATED, len(LAWS), len(LAWS) + 1)
        report.checked[RATED] = report.checked["a bill adds up"]
        again = rerating.differing(connection, kept_from("daily_stats"))
        report.discrepancies.extend(Discrepancy(RATED, *difference) for difference in again)
    return report


def _broken(connection: Connection, law: str, query: str) -> Iterator[Discrepancy]:
    for row in connection.execute(text(f"{query} ORDER BY 1, 2, 3")):
        yield Discrepancy(law, *row)
