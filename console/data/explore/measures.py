"""What can be explored: counters, gauges, the platform's own meters and money, and how each is read.

SQL is assembled from this catalogue only, never from an address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from metering.catalogue import own_meters
from metering.catalogue.meters import COUNTERS, GAUGES
from metering.catalogue.own_meters import OwnMeter
from metering.catalogue.sources import SourceName

Kind = Literal["counter", "gauge", "own", "money"]
Direction = Literal["in", "out"]


@dataclass(frozen=True)
class Measure:
    """A measure: `name` in addresses and in the tables, `unit` as in the catalogue of meters.

    `source` measures it; None for `storage_bytes`, which several do, for the platform's own meters and for
    money. `live` is a gauge's column of project_stats, `charge` an amount's of monthly_stats. `adds_up` is
    false for a meter of which the largest quantity counts.
    """

    name: str
    label: str
    unit: str
    kind: Kind
    source: SourceName | None = None
    live: str = ""
    charge: str = ""
    adds_up: bool = True

    @property
    def aggregate(self) -> str:
        """Return the SQL function that makes one value of several."""
        return "sum" if self.adds_up else "max"

    def value(self, row: str) -> str:
        """Return SQL of the value in `row`, an alias of hours or days."""
        return (
            own_meters.value_sql(self.name, f"{row}.meters") if self.kind == "own" else f"{row}.{self.name}"
        )

    @property
    def sum_sql(self) -> str:
        """Return SQL of the value in a row of the summaries."""
        if self.kind == "own":
            return own_meters.value_sql(self.name, "meters" if self.adds_up else "largest_meters")
        return self.name

    @property
    def known_column(self) -> str:
        """Return the column of organization_days that counts how many projects are in the sum."""
        if self.kind == "own":  # the platform repeats until it is heard: what it did not report was nothing
            return "projects"
        return f"{self.source}_known" if self.kind == "counter" else f"known_{self.name}"

    @property
    def earlier_column(self) -> str:
        """Return the column that counts levels of an earlier day, or counters that are read in part."""
        if self.kind == "own":
            return "0"
        if self.kind == "counter" or self.source == "platform_db":
            return f"{self.source}_partial"
        return f"{self.source or 'storage'}_carried"


MONEY: tuple[Measure, ...] = (
    Measure("charge", "Charge", "money", "money", charge="total_charge"),
    Measure("plan_fee", "Plan fees", "money", "money", charge="plan_fee"),
    Measure("overage", "Overage", "money", "money", charge="overage_charge"),
)
DIRECTIONS: Mapping[str, Direction] = {
    "mqtt_inbound": "in",
    "mqtt_outbound": "out",
    "mqtt_inbound_bytes": "in",
    "mqtt_outbound_bytes": "out",
    "docker_upload_bytes": "in",
    "docker_download_bytes": "out",
}
DIRECTION_LABELS: Mapping[str, str] = {"in": "In", "out": "Out"}


def catalogue(own: Mapping[str, OwnMeter] | None = None) -> dict[str, Measure]:
    """Return every measure by name, `own` meters of the platform included, in the order of the offer."""
    counters = [Measure(c.name, c.label, c.unit, "counter", c.source) for c in COUNTERS]
    gauges = [Measure(g.name, g.label, g.unit, "gauge", g.source, live=g.live) for g in GAUGES]
    others = [
        Measure(meter.name, meter.title, meter.unit, "own", adds_up=meter.aggregation == "sum")
        for meter in (own or {}).values()
    ]
    return {measure.name: measure for measure in (*counters, *gauges, *others, *MONEY)}
