"""Columns of the exported files: their names, their order, and the kind of value that each one holds.

Columns keep their place; new ones are added at the end (docs/exports.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import BigInteger, Date, DateTime, Integer, Numeric, SmallInteger

from metering.catalogue import forms
from metering.catalogue.meters import COUNTERS, GAUGES
from metering.db.tables import OWN_TABLES

Kind = Literal["integer", "money", "json", "date", "instant", "text"]

_KINDS: tuple[tuple[tuple[type, ...], Kind], ...] = (
    ((BigInteger, SmallInteger, Integer), "integer"),
    ((Numeric,), "money"),
    ((JSONB, ARRAY), "json"),
    ((DateTime,), "instant"),
    ((Date,), "date"),
)


@dataclass(frozen=True)
class Column:
    """A column of an exported file: its name, and how its values are written, read and hashed."""

    name: str
    kind: Kind


def _kind(table: Table, name: str) -> Kind:
    if name == "organization_id":  # also where it is the project's, not the row's
        return "integer"
    if name not in table.c:
        return "text"
    column_type = table.c[name].type
    return next((kind for types, kind in _KINDS if isinstance(column_type, types)), "text")


def _of(table: str, names: Iterable[str]) -> tuple[Column, ...]:
    return tuple(Column(name, _kind(OWN_TABLES[table], name)) for name in names)


_OWNER = ("organization_id", "organization_name", "project_id", "project_name")
_COUNTERS = tuple(counter.name for counter in COUNTERS if counter.since == 1)
_GAUGES = tuple(gauge.name for gauge in GAUGES if gauge.since == 1)

MONTHLY_COLUMNS = _of(
    "monthly_stats",
    (
        *(*_OWNER, "year", "month", "tier", *_COUNTERS, *(f"peak_{name}" for name in _GAUGES)),
        *("plan_fee", "overage_charge", "adjustment_charge", "total_charge", "currency"),
        *("exceeded_limits", "days_present", "days_expected", "plan_version"),
        *("previous_seal", "seal", "closed_by", "created_at", "day_hashes", "export_hash"),
        *forms.columns_after("monthly_stats", 1),
    ),
)
DAILY_COLUMNS = _of(
    "daily_stats",
    (
        *(*_OWNER, "date", "year", "month", "day", "tier", *_COUNTERS, *_GAUGES),
        *("coverage", "row_hash", "created_at", "export_hash"),
        *forms.columns_after("daily_stats", 1),
    ),
)
ADJUSTMENT_COLUMNS = _of(
    "adjustments",
    (
        *(*_OWNER, "id", "kind", "meter", "quantity", "amount", "usage_date", "posted_month"),
        *("reverses", "reason", "actor", "created_at", "currency"),
    ),
)
AUDIT_COLUMNS = _of("audit_log", ("id", "at", "actor", "action", "subject", "reason", "before", "after"))
MONEY = ("plan_fee", "overage_charge", "adjustment_charge", "total_charge")
