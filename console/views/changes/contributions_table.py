"""The table of contributions, each with links to its own contributions, its chart and its page."""

from collections.abc import Mapping, Sequence
from typing import Any

from console.data.changes.contributions import Contribution
from console.ui import links
from console.ui.table import Column, Kind, table
from console.views.changes.question import ChangeQuestion
from console.views.changes.reading import ChangeData

MOST = 500  # rows of a table


def render(question: ChangeQuestion, change: ChangeData, labels: Sequence[str], title: str) -> None:
    """Show the largest contributions; `labels` name them in the same order."""
    parts = change.comparison.by[question.by][:MOST]
    rows = [_row(question, change, part, label) for part, label in zip(parts, labels, strict=False)]
    table(rows, _columns(question), "changes-parts", title)


def step(question: ChangeQuestion, part: Contribution) -> dict[str, str]:
    """Return the address of the next step: an organization's projects, a project's meters.

    A device has no next step.
    """
    if question.by == "device":
        return question.query()
    if question.by == "meter":
        return question.query(meters=str(part.key), by="project")
    own = [word for word in (question.query().get("where") or "").split(",") if word]
    others = [word for word in own if not word.startswith(f"{question.by}:")]
    by = "meter" if question.by == "project" else "project"
    return question.query(where=",".join([*others, f"{question.by}:{part.key}"]), by=by)


def _row(question: ChangeQuestion, change: ChangeData, part: Contribution, label: str) -> dict[str, Any]:
    whole = change.comparison.change
    return {
        "id": part.key,
        "label": label,
        "before": part.before,
        "after": part.after,
        "change": part.change,
        "share": float(part.change / whole) if whole else None,
        "state": "new" if part.is_new else "gone" if part.is_gone else "",
        "measured": _measured(question, part),
        "open": "Days",
        "hours": "Hours",
        "step": links.address("changes", step(question, part)),
        "where": _where(question, part),
    }


def _measured(question: ChangeQuestion, part: Contribution) -> str:
    if question.is_money or question.measures[0].kind != "counter" or question.by != "project":
        return ""
    words = [
        f"{part.known_days[side]:,} of {part.expected[side]:,}" for side in (0, 1) if part.expected[side]
    ]
    return " and ".join(words) + " days"


def _where(question: ChangeQuestion, part: Contribution) -> str:
    own = question.query().get("where", "")
    return (
        own
        if question.by in ("meter", "device")
        else ",".join(filter(None, [own, f"{question.by}:{part.key}"]))
    )


def _columns(question: ChangeQuestion) -> list[Column]:
    kind: Kind = (
        "money" if question.is_money else "bytes" if question.measures[0].unit == "bytes" else "count"
    )

    def explored(grain: str) -> Any:
        return lambda row: f"/explore?{question.explored(row['where'], grain)}"

    def project(row: Mapping[str, Any]) -> str:
        return links.project(row["id"], question.state.meters[0])

    is_last = question.by == "device"
    columns = [
        Column(
            "label",
            question.by.capitalize(),
            "name",
            link=None if is_last else lambda row: row["step"],
            narrow="title",
        ),
        Column("change", "Change", kind, narrow="figure"),
        Column("share", "Of the change", "percent"),
        Column("before", "Before", kind),
        Column("after", "After", kind),
        Column("state", "New or gone"),
        Column("open", "Chart", link=explored("day")),
    ]
    if not question.is_money:
        columns.append(Column("hours", "Hours", link=explored("hour")))
    if question.by == "project":
        columns.append(Column("id", "Page", "id", link=project))
        columns.append(Column("measured", "Measured"))
    return columns
