"""What can be explored: counters, gauges and money, each with its unit and how it is read.

SQL is assembled from this catalogue only, never from an address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from metering.catalogue.meters import COUNTERS, GAUGES
from metering.catalogue.sources import SourceName

Kind = Literal["counter", "gauge", "money"]
Direction = Literal["in", "out"]


@dataclass(frozen=True)
class Measure:
    """A measure: `name` in addresses and in the tables, `unit` as in the catalogue of meters.

    `source` measures it; None for `storage_bytes`, which several do, and for money. `live` is a gauge's
    column of project_stats, `charge` an amount's of monthly_stats.
    """

    name: str
    label: str
    unit: str
    kind: Kind
    source: SourceName | None = None
    live: str = ""
    charge: str = ""

    @property
    def known(self) -> str:
        """Return the column of organization_days that counts how many projects are in the sum."""
        return f"{self.source}_known" if self.kind == "counter" else f"known_{self.name}"

    @property
    def earlier(self) -> str:
        """Return the column that counts levels of an earlier day, or counters that are read in part."""
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


@cache
def catalogue() -> dict[str, Measure]:
    """Return every measure by name, in the order in which they are offered."""
    counters = [Measure(c.name, c.label, c.unit, "counter", c.source) for c in COUNTERS]
    gauges = [Measure(g.name, g.label, g.unit, "gauge", g.source, live=g.live) for g in GAUGES]
    return {measure.name: measure for measure in (*counters, *gauges, *MONEY)}
