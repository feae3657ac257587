"""The address of Changes: that of Explore, with the period before and the dimension of contributions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from urllib.parse import urlencode

from console.data.changes import devices
from console.data.changes.contributions import DIMENSIONS, Dimension, Range
from console.data.explore.measures import Measure, catalogue
from console.views.explore import ranges
from console.views.explore.parser import parse, refusal
from console.views.explore.state import State

NAMES = ("meters", "by", "where", "range", "from", "to", "vs", "align", "before_from", "before_to")
WEEK = timedelta(days=7)


@dataclass(frozen=True)
class ChangeQuestion:
    """The question of the page: measures of one unit, filters, and two periods of UTC days."""

    state: State
    measures: tuple[Measure, ...]  # in the order of the address
    by: Dimension
    before: Range
    after: Range
    is_usual_range: bool  # the last seven whole days, where the address names no range
    fixed_before: bool  # the address names the days of the period before

    @property
    def is_money(self) -> bool:
        """Return whether the measure is money, which closed months have."""
        return self.measures[0].kind == "money"

    def query(self, **changed: str | None) -> dict[str, str]:
        """Return the parameters of this page's address with some of them changed; None removes one."""
        written = self.state.query() | {"by": self.by}
        written = {name: value for name, value in written.items() if name in NAMES}
        if self.is_usual_range:
            written = {name: v for name, v in written.items() if name not in ("range", "from", "to")}
        if self.fixed_before:
            written |= {"before_from": str(self.before[0]), "before_to": str(self.before[1])}
        written |= {name: value for name, value in changed.items() if value is not None}
        return {name: value for name, value in written.items() if changed.get(name, value) is not None}

    def explored(self, where: str, grain: str = "day") -> str:
        """Return the query of Explore for a part of this change, both periods in one chart."""
        query = {"meters": ",".join(self.state.meters), "where": where, "grain": grain, "as": "line"}
        if self.by == "device" and grain == "day":
            query["by"] = "device"
        first, last = self.after if grain == "hour" else (self.before[0], self.after[1])
        return urlencode(query | {"from": str(first), "to": str(last)})


def read(
    address: Mapping[str, str], today: date, all_measures: Mapping[str, Measure] | None = None
) -> tuple[ChangeQuestion, list[str]]:
    """Return the question of an address on `today` (UTC), and a sentence for each refused value.

    `all_measures` is every measure; without it those of the catalogue.
    """
    all_measures = all_measures or catalogue()
    shared = {name: address[name] for name in NAMES if name in address and not name.startswith("before_")}
    by = shared.pop("by", "project")
    wrong: list[str] = []
    if by not in (*DIMENSIONS, "device"):
        wrong.append(refusal("by", by, f"one of {', '.join(DIMENSIONS)}, device; shown is project"))
        by = "project"
    state, refusals = parse(shared, today, all_measures)
    measures = _of_one_unit(state, all_measures, wrong)
    state = replace(state, meters=tuple(measure.name for measure in measures))
    if by == "device" and (why := devices.takes(state.meters, state.filters)):
        wrong.append(f"{why} Shown is project.")
        by = "project"
    usual = not any(name in shared for name in ("range", "from", "to"))
    after = (today - WEEK, today - timedelta(days=1)) if usual else state.days(today)
    if measures[0].kind == "money":
        after = _months(after, today)
    vs = state.vs if state.vs != "none" else "previous"
    state = replace(state, vs=vs)
    before = ranges.compared(*after, vs, state.align, state.range if not usual else "")
    fixed = _fixed(address, after, wrong)
    if measures[0].kind == "money":
        before = _months_before(after, vs)
    question = ChangeQuestion(state, measures, by, fixed or before, after, usual, fixed is not None)  # type: ignore[arg-type]
    return question, [*refusals, *wrong]


def _of_one_unit(state: State, all_measures: Mapping[str, Measure], wrong: list[str]) -> tuple[Measure, ...]:
    """Return the measures whose changes add up: of one unit and kind, and of a gauge a single one."""
    measures = [all_measures[name] for name in state.meters if all_measures[name].adds_up]
    if len(measures) < len(state.meters):
        labels = ", ".join(
            all_measures[name].label for name in state.meters if not all_measures[name].adds_up
        )
        wrong.append(f"{labels}: the largest quantity counts, so its change has no parts; it is left out.")
    measures = measures or [all_measures["mqtt_inbound"]]
    same = [m for m in measures if (m.unit, m.kind) == (measures[0].unit, measures[0].kind)]
    if measures[0].kind == "gauge" and len(same) > 1:
        same = same[:1]
    if len(same) < len(measures):
        labels = ", ".join(m.label for m in measures if m not in same)
        wrong.append(f"A change is of one measure: {labels} cannot be added to {measures[0].label}.")
    return tuple(same)


def _months(after: Range, today: date) -> Range:
    """Return the closed months that overlap the range, or the last closed one."""
    end_of_last = today.replace(day=1) - timedelta(days=1)
    last = min(after[1], end_of_last)
    first = min(after[0].replace(day=1), last.replace(day=1))
    following = (last.replace(day=1) + timedelta(days=31)).replace(day=1)
    return first, following - timedelta(days=1)


def _months_before(after: Range, vs: str) -> Range:
    months = (
        12 if vs == "year" else (after[1].year - after[0].year) * 12 + after[1].month - after[0].month + 1
    )
    first = ranges.months_before(after[0], months)
    last = ranges.months_before(after[1].replace(day=1), months)
    return first, (last + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _fixed(address: Mapping[str, str], after: Range, wrong: list[str]) -> Range | None:
    raw = [address.get(name) for name in ("before_from", "before_to")]
    if raw == [None, None]:
        return None
    try:
        first, last = (date.fromisoformat(str(day)) for day in raw)
    except ValueError:
        first, last = after[1], after[0]
    if not first <= last < after[0] or (last - first).days >= ranges.LONGEST:
        wrong.append(
            f"The address says before_from = {str(raw[0])[:40]} and before_to = {str(raw[1])[:40]}, which are"
            f" not two days before {after[0]}; compared is the period before."
        )
        return None
    return first, last
