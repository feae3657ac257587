"""Exports: which rows a file holds, of closed months, sealed days, adjustments or the audit log.

Rows are streamed, never held all at once. Each bill and each day carries the hash of its cells.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Table, text

from metering.catalogue import platform
from metering.catalogue.month_sql import is_in_month
from metering.catalogue.periods import Day, Month
from metering.db.audit_log import MATCHES, Filter
from metering.db.scope import own_parts
from metering.db.tables import OWN_TABLES
from metering.exports import csv_format
from metering.exports.columns import ADJUSTMENT_COLUMNS, AUDIT_COLUMNS, DAILY_COLUMNS, MONTHLY_COLUMNS, Column
from metering.exports.export_hash import export_hash

BATCH = 5_000  # rows that are fetched and written together

DAY_HASHES = """(SELECT string_agg(d.row_hash, ' ' ORDER BY d.date) FROM daily_stats d
    WHERE d.project_id = t.project_id AND d.date >= :first AND d.date <= :last)"""

OWN_DAY_HASHES = f"""(SELECT string_agg(d.row_hash, ' ' ORDER BY d.date) FROM daily_stats d
    WHERE d.project_id = t.project_id AND {is_in_month("d.date", "t")})"""

OWNERS = own_parts("t.owners")


@dataclass(frozen=True)
class Export:
    """The rows of a file: the columns, the table `t` that they come from, the condition, the order.

    `bounds` are the parameters of the condition; `computed` gives the SQL of columns not in the table.
    """

    columns: tuple[Column, ...]
    source: Table
    where: str
    order: str
    bounds: Mapping[str, Any]
    computed: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def for_month(cls, month: Month) -> "Export":
        """Return the bills of `month`, a row for each project that is closed."""
        return cls(
            MONTHLY_COLUMNS,
            OWN_TABLES["monthly_stats"],
            "t.year = :year AND t.month = :month",
            "t.organization_id, t.project_id",
            month.bounds(),
            {"day_hashes": DAY_HASHES, "owners": OWNERS},
        )

    @classmethod
    def for_organization(cls, organization_id: int) -> "Export":
        """Return every bill of an organization, the oldest month first."""
        return cls(
            MONTHLY_COLUMNS,
            OWN_TABLES["monthly_stats"],
            "t.organization_id = :organization",
            "t.year, t.month, t.project_id",
            {"organization": organization_id},
            {"day_hashes": OWN_DAY_HASHES, "owners": OWNERS},
        )

    @classmethod
    def for_days(cls, first: Day, last: Day) -> "Export":
        """Return the sealed days from `first` to `last`, both included."""
        return cls(
            DAILY_COLUMNS,
            OWN_TABLES["daily_stats"],
            "t.date >= :first AND t.date <= :last",
            "t.date, t.project_id",
            {"first": first.date, "last": last.date},
        )

    @classmethod
    def for_adjustments(cls, month: Month) -> "Export":
        """Return the adjustments that were posted to `month`."""
        return cls(
            ADJUSTMENT_COLUMNS,
            OWN_TABLES["adjustments"],
            "t.posted_month = :first",
            "t.project_id, t.id",
            month.bounds(),
        )

    @classmethod
    def for_audit(cls, matching: Filter) -> "Export":
        """Return the entries of the audit log that match, oldest first."""
        return cls(AUDIT_COLUMNS, OWN_TABLES["audit_log"], MATCHES, "t.id", matching.parameters())

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def query(self) -> str:
        """Return the SQL that selects the rows."""
        if "project_id" not in self.source.c:
            cells = ", ".join(f"t.{name}" for name in self.names)
            return f"SELECT {cells} FROM {self.source.name} t WHERE {self.where} ORDER BY {self.order}"
        owner = "t.organization_id" if "organization_id" in self.source.c else "p.organization_id"
        sql = {"organization_id": owner, "organization_name": "o.name", "project_name": "p.name"}
        sql |= {"export_hash": "NULL", **self.computed}
        cells = ", ".join(f"{sql.get(name, f't.{name}')} AS {name}" for name in self.names)
        return f"""SELECT {cells} FROM {self.source.name} t
            JOIN {platform.FORMER_PROJECTS} p ON p.id = t.project_id
            JOIN {platform.ORGANIZATIONS} o ON o.id = {owner} WHERE {self.where} ORDER BY {self.order}"""

    def rows(self, connection: Connection) -> Iterator[tuple[Any, ...]]:
        """Yield the rows, with values in the order of `columns`, as they come from the server."""
        streamed = connection.execution_options(yield_per=BATCH)
        for row in streamed.execute(text(self.query), self.bounds):
            yield self._hashed(tuple(row))

    def _hashed(self, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if "export_hash" not in self.names:
            return row
        place = self.names.index("export_hash")
        cells = {name: csv_format.text_of(value) for name, value in zip(self.names, row, strict=True)}
        return (*row[:place], export_hash(cells), *row[place + 1 :])
