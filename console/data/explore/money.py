"""Charges of closed months, adjustments included, as Billing shows them; in each currency apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from console.data.explore import sql
from console.data.explore.days import LABELS, filters, top
from console.data.explore.question import Filters, Question
from metering.catalogue.month_sql import first_of_month
from metering.running.spend import Spend

COLUMNS = ("measure", "label", "period", "currency", "value", "known")


@dataclass(frozen=True)
class Charges:
    """Rows of `measure, label, period, currency, value, known` (bills); the labels in order of their size."""

    frame: pd.DataFrame
    labels: list[Any]
    groups: int


def read(connection: Connection, question: Question) -> Charges:
    """Answer a question about money from the bills of the months that begin in the range."""
    measures = [measure for measure in question.measures if measure.kind == "money"]
    parameters = question.parameters() | {"top": question.top}
    bills = _bills(question)
    label, labels, groups = LABELS[question.by], [""], 1
    if question.by != "none":
        ranked = f"""SELECT {label} AS label, count(*) OVER () AS labels FROM ({bills}) bills
            GROUP BY 1 ORDER BY sum({measures[0].charge}) DESC, 1 LIMIT :top"""
        labels, groups = top(connection, question, ranked, parameters)
        parameters["labels"] = labels
        label = f"CASE WHEN {label} = ANY(:labels) THEN {label} END"
    sums = ", ".join(f"sum({measure.charge})" for measure in measures)
    statement = f"""SELECT {label}, {first_of_month()}, currency, count(*), {sums}
        FROM ({bills}) bills GROUP BY 1, 2, 3 ORDER BY 2, 3"""
    records = [
        (measure.name, row[0], row[1], row[2], Decimal(row[4 + i]), int(row[3]))
        for row in connection.execute(text(statement), parameters)
        for i, measure in enumerate(measures)
    ]
    return Charges(pd.DataFrame(records, columns=list(COLUMNS), dtype=object), labels, groups)


def _bills(question: Question) -> str:
    return f"""SELECT * FROM monthly_stats WHERE {first_of_month()} >= CAST(:first AS date)
        AND {first_of_month()} <= CAST(:last AS date) AND {sql.where(filters(question))}"""


def with_running(charges: Charges, spends: Sequence[Spend], question: Question, month: date) -> Charges:
    """Return `charges` with the month that runs, as far as it is rated; of it, plan fees are not told apart.

    `month` is its first day. Groups that have no bill yet stand with the others.
    """
    matching = [spend for spend in spends if _matches(spend, question.filters)]
    groups: dict[tuple[Any, str], list[Spend]] = {}
    for spend in matching:
        groups.setdefault((_label(spend, question, charges.labels), spend.currency), []).append(spend)
    rows = [
        (measure.name, label, month, currency, _amount(measure.name, group), len(group))
        for (label, currency), group in groups.items()
        for measure in question.measures
        if measure.name != "plan_fee"
    ]
    running = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    is_other = any(label is None for label, _ in groups) and charges.groups == len(charges.labels)
    frame = pd.concat([charges.frame, running], ignore_index=True) if rows else charges.frame
    return Charges(frame, charges.labels, charges.groups + is_other)


def _label(spend: Spend, question: Question, labels: Sequence[Any]) -> Any:
    of = {"organization": spend.organization_id, "tier": spend.tier, "project": spend.project_id}
    label = of.get(question.by, "")
    return label if label in labels else None


def _amount(name: str, spends: Sequence[Spend]) -> Decimal:
    return sum((spend.so_far if name == "charge" else spend.overage for spend in spends), Decimal(0))


def _matches(spend: Spend, filters: Filters) -> bool:
    return (
        (not filters.tiers or spend.tier in filters.tiers)
        and (not filters.organizations or spend.organization_id in filters.organizations)
        and (not filters.projects or spend.project_id in filters.projects)
    )
