"""Charges of closed months, adjustments included, as Billing shows them; in each currency apart."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd
from sqlalchemy import Connection, text

from console.data.explore import sql
from console.data.explore.days import LABELS, filters, top
from console.data.explore.question import Question

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
    given = question.parameters() | {"top": question.top}
    bills = _bills(question)
    label, labels, groups = LABELS[question.by], [""], 1
    if question.by != "none":
        ranked = f"""SELECT {label} AS label, count(*) OVER () AS labels FROM ({bills}) bills
            GROUP BY 1 ORDER BY sum({measures[0].charge}) DESC, 1 LIMIT :top"""
        labels, groups = top(connection, question, ranked, given)
        given["labels"] = labels
        label = f"CASE WHEN {label} = ANY(:labels) THEN {label} END"
    sums = ", ".join(f"sum({measure.charge})" for measure in measures)
    statement = f"""SELECT {label}, make_date(year, month, 1), currency, count(*), {sums}
        FROM ({bills}) bills GROUP BY 1, 2, 3 ORDER BY 2, 3"""
    made = [
        (measure.name, row[0], row[1], row[2], Decimal(row[4 + i]), int(row[3]))
        for row in connection.execute(text(statement), given)
        for i, measure in enumerate(measures)
    ]
    return Charged(pd.DataFrame(made, columns=list(COLUMNS), dtype=object), labels, groups)


def _bills(question: Question) -> str:
    return f"""SELECT * FROM monthly_stats WHERE make_date(year, month, 1) >= CAST(:first AS date)
        AND make_date(year, month, 1) <= CAST(:last AS date) AND {sql.where(filters(question))}"""
