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
from console.data.explore.question import Question
from metering.catalogue.month_sql import first_of_month
from metering.running.spend import Spend

COLUMNS = ("measure", "label", "period", "currency", "value", "known")


@dataclass(frozen=True)
class Charged:
    """Rows of `measure, label, period, currency, value, known` (bills); the labels in order of their size."""

    frame: pd.DataFrame
    labels: list[Any]
    groups: int


def read(connection: Connection, question: Question) -> Charged:
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
    made = [
        (measure.name, row[0], row[1], row[2], Decimal(row[4 + i]), int(row[3]))
        for row in connection.execute(text(statement), parameters)
        for i, measure in enumerate(measures)
    ]
    return Charged(pd.DataFrame(made, columns=list(COLUMNS), dtype=object), labels, groups)


def _bills(question: Question) -> str:
    return f"""SELECT * FROM monthly_stats WHERE {first_of_month()} >= CAST(:first AS date)
        AND {first_of_month()} <= CAST(:last AS date) AND {sql.where(filters(question))}"""


def with_running(charged: Charged, spends: Sequence[Spend], question: Question, month: date) -> Charged:
    """Return `charged` with the month that runs, as far as it is rated; of it, plan fees are not told apart.

    `month` is its first day. Groups that have no bill yet stand with the others.
    """
    mine = [spend for spend in spends if _is_wanted(spend, question)]
    groups: dict[tuple[Any, str], list[Spend]] = {}
    for spend in mine:
        groups.setdefault((_label(spend, question, charged.labels), spend.currency), []).append(spend)
    rows = [
        (measure.name, label, month, currency, _amount(measure.name, some), len(some))
        for (label, currency), some in groups.items()
        for measure in question.measures
        if measure.name != "plan_fee"
    ]
    running = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    is_other = any(label is None for label, _ in groups) and charged.groups == len(charged.labels)
    frame = pd.concat([charged.frame, running], ignore_index=True) if rows else charged.frame
    return Charged(frame, charged.labels, charged.groups + is_other)


def _label(spend: Spend, question: Question, labels: Sequence[Any]) -> Any:
    of = {"organization": spend.organization_id, "tier": spend.tier, "project": spend.project_id}
    label = of.get(question.by, "")
    return label if label in labels else None


def _amount(name: str, spends: Sequence[Spend]) -> Decimal:
    return sum((spend.so_far if name == "charge" else spend.overage for spend in spends), Decimal(0))


def _is_wanted(spend: Spend, question: Question) -> bool:
    chosen = question.filters
    return (
        (not chosen.tiers or spend.tier in chosen.tiers)
        and (not chosen.organizations or spend.organization_id in chosen.organizations)
        and (not chosen.projects or spend.project_id in chosen.projects)
    )
