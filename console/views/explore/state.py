"""The state of Explore: a question and how it is drawn, as its address says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from console.data.explore.measures import Measure
from console.data.explore.question import Filters, Question
from console.views.explore import ranges

GROUPS = {
    "none": "Total",
    "organization": "Organization",
    "tier": "Tier",
    "project": "Project",
    "device": "Device",
    "direction": "Direction",
    "meter": "Meter",
}
GRAINS = {"auto": "Automatic", "hour": "Hour", "day": "Day", "week": "ISO week", "month": "Month"}
LOOKS = {
    "line": "Line",
    "bar": "Bars",
    "area": "Stacked area",
    "share": "Share of total",
    "cumulative": "Cumulative",
    "heatmap": "Heatmap",
    "distribution": "Distribution",
    "table": "Table",
}
VERSUS = {"none": "Nothing", "previous": "Period before", "year": "A year ago"}
ALIGNS = {"date": "By date", "weekday": "By weekday"}
NAMES = ("meters", "by", "top", "where", "range", "from", "to", "grain", "as", "vs", "align")
MOST_METERS, MOST_FILTERS, MOST_TOP = 6, 50, 50
FIRST_DAY = date(2000, 1, 1)


@dataclass(frozen=True)
class State:
    """The page's state: what its address says. `range` is empty where `first` and `last` are days."""

    meters: tuple[str, ...] = ("mqtt_inbound",)
    by: str = "none"
    top: int = 5
    filters: Filters = field(default_factory=Filters)
    range: str = "30d"
    first: date | None = None
    last: date | None = None
    grain: str = "auto"
    look: str = "line"
    vs: str = "none"
    align: str = "date"

    def days(self, today: date) -> tuple[date, date]:
        """Return the first and the last day of the range, both included, as of `today`."""
        if self.first is not None and self.last is not None:
            return self.first, self.last
        return ranges.resolve(self.range or "30d", today)

    def question(self, today: date, all_measures: Mapping[str, Measure]) -> Question:
        """Return the question that the page asks on `today`, in UTC, of `all_measures`."""
        first, last = self.days(today)
        measures = tuple(all_measures[name] for name in self.meters if name in all_measures)
        if any(measure.kind == "money" for measure in measures):
            first, grain = first.replace(day=1), "month"
        else:
            grain = self.grain if self.grain != "auto" else ranges.grain_for(first, last)
        by = "none" if self.by in ("direction", "meter") else self.by
        return Question(measures, by, self.top, self.filters, first, last, grain)  # type: ignore[arg-type]

    def compared(self, today: date) -> tuple[date, date] | None:
        """Return the range that it is compared with, None for no comparison."""
        if self.vs == "none":
            return None
        return ranges.compared(*self.days(today), self.vs, self.align, self.range)

    def query(self) -> dict[str, str]:
        """Return the parameters of the address; what is as it is without them is left out."""
        parameters = {
            "meters": ",".join(self.meters),
            "by": self.by,
            "top": str(self.top),
            "where": ",".join(self._where()),
            "range": self.range,
            "from": str(self.first or ""),
            "to": str(self.last or ""),
            "grain": self.grain,
            "as": self.look,
            "vs": self.vs,
            "align": self.align,
        }
        default = {"by": "none", "top": "5", "grain": "auto", "vs": "none", "align": "date"}
        return {name: value for name, value in parameters.items() if value and value != default.get(name)}

    def _where(self) -> list[str]:
        return [
            *(f"tier:{tier}" for tier in self.filters.tiers),
            *(f"organization:{number}" for number in self.filters.organizations),
            *(f"project:{number}" for number in self.filters.projects),
        ]


def labels(names: Sequence[str], all_measures: Mapping[str, Measure]) -> str:
    """Return the labels of measures, for titles."""
    return ", ".join(all_measures[name].label for name in names if name in all_measures)
