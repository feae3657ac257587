"""The shapes of projects and their usage: counters and gauges come from the catalogue of meters."""

from datetime import date, datetime
from typing import Any

from pydantic import Field, create_model

from api.schemas import MONEY, Shape, shape
from metering.catalogue.meters import COUNTERS, GAUGES, Counter, Gauge


def _meter(meter: Counter | Gauge) -> tuple[Any, Any]:
    described = f"{meter.label}, {meter.unit}; null is unknown."
    return int | None, Field(description=described, examples=[1024])


COUNTER_FIELDS = {counter.name: _meter(counter) for counter in COUNTERS}
GAUGE_FIELDS = {gauge.name: _meter(gauge) for gauge in GAUGES}


class ProjectShape(Shape):
    """A project of the platform."""

    id: int = Field(examples=[42])
    name: str = Field(examples=["warehouse-north"])
    organization_id: int = Field(examples=[7])
    tier: str | None = Field(examples=["starter"])
    is_active: bool


LiveProjectShape = create_model(
    "LiveProject",
    __base__=ProjectShape,
    __doc__="A project with its live counters and gauges, and their age.",
    **COUNTER_FIELDS,  # type: ignore[call-overload]
    **GAUGE_FIELDS,
    meters=(dict[str, Any], Field(description="Meters of the platform's own.")),
    lifetime=(dict[str, int | None], Field(description="Counters of all closed months; null is unknown.")),
    lifetime_meters=(dict[str, Any], Field(description="Meters of the platform's own of all closed months.")),
    open_from=(datetime | None, Field(description="The first hour that may still change.")),
    updated_at=(datetime | None, Field(description="When a figure last changed.")),
    measured_at=(dict[str, datetime | None], Field(description="When each source was last measured.")),
    age_seconds=(
        dict[str, float | None],
        Field(description="How long ago each source was measured; null if never."),
    ),
)

_METERS = {**COUNTER_FIELDS, **GAUGE_FIELDS}
_OWN = {"meters": (dict[str, Any], Field(description="Meters of the platform's own: name -> number."))}
_INSTANT = Field(examples=["2026-11-24T10:00:00Z"])
HourShape = shape(
    "Hour",
    "An hour of a project.",
    {"project_id": (int, ...), "hour": (datetime, _INSTANT), **_METERS, **_OWN},
)
DayShape = shape(
    "Day",
    "A sealed day of a project.",
    {
        "project_id": (int, ...),
        "organization_id": (int, Field(description="The owner on that day.")),
        "date": (date, Field(examples=["2026-11-24"])),
        **_METERS,
        "tier": (str, Field(examples=["starter"])),
        "coverage": (dict[str, Any], Field(description="How well each source was measured.")),
        **_OWN,
        "row_hash": (str, Field(description="The SHA-256 that proves the day.")),
        "form": (int, ...),
        "created_at": (datetime, Field(description="When it was sealed.")),
    },
)
MonthShape = shape(
    "Month",
    "A closed month of a project: its bill.",
    {
        "project_id": (int, ...),
        "organization_id": (int, Field(description="Who pays: the owner at the month's end.")),
        "year": (int, Field(examples=[2026])),
        "month": (int, Field(examples=[10])),
        "tier": (str, Field(examples=["starter"])),
        **COUNTER_FIELDS,
        **{f"peak_{name}": field for name, field in GAUGE_FIELDS.items()},
        **_OWN,
        "plan_fee": (str, MONEY),
        "overage_charge": (str, MONEY),
        "adjustment_charge": (str, MONEY),
        "total_charge": (str, MONEY),
        "currency": (str, Field(examples=["EUR"])),
        "exceeded_limits": (list[Any], Field(description="The lines of the overage.")),
        "days_present": (int, ...),
        "days_expected": (int, ...),
        "plan_version": (str, Field(description="The SHA-256 of the plans that rated it.")),
        "seal": (str, Field(description="The SHA-256 that proves the bill.")),
        "closed_by": (str, ...),
        "form": (int, ...),
        "created_at": (datetime, Field(description="When it was closed.")),
    },
)


class MissingShape(Shape):
    """A day that is over, expected and not sealed."""

    project_id: int
    project: str
    organization_id: int
    date: date


class CoverageCell(Shape):
    """One source in one hour: its state, and in `detail` why."""

    hour: datetime
    source: str
    state: str
    detail: dict[str, Any]


class DeviceShape(Shape):
    """A busy device of a project's day; each count is a lower bound, at most `error` too low."""

    device: str
    mqtt_inbound: int
    mqtt_outbound: int
    mqtt_inbound_bytes: int
    mqtt_outbound_bytes: int
    error: int
