"""The shapes of answers, for OpenAPI: fields of counters and gauges come from the catalogue of meters."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from metering.catalogue.meters import COUNTERS, GAUGES, Counter, Gauge


class Shape(BaseModel):
    """An object of an answer; later versions may add members."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})


class ProblemShape(Shape):
    """What is wrong with a request (RFC 9457)."""

    type: str = Field(description="A fixed name of the kind of problem.")
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do.")
    errors: list[dict[str, Any]] | None = None


def _meter(meter: Counter | Gauge) -> tuple[Any, Any]:
    described = f"{meter.label}, {meter.unit}; null is unknown."
    return int | None, Field(description=described, examples=[1024])


COUNTER_FIELDS = {counter.name: _meter(counter) for counter in COUNTERS}
GAUGE_FIELDS = {gauge.name: _meter(gauge) for gauge in GAUGES}


def shape(name: str, doc: str, fields: dict[str, Any]) -> type[BaseModel]:
    """Return a model called `name` with those fields: name -> (type, Field)."""
    return create_model(name, __base__=Shape, __doc__=doc, **fields)


def listing(item: type[BaseModel], more: dict[str, Any] | None = None) -> type[BaseModel]:
    """Return the model of a list of `item`."""
    fields: dict[str, Any] = {
        "items": (list[item], ...),  # type: ignore[valid-type]
        "next": (str | None, Field(description="The cursor of the next page; null on the last one.")),
    }
    return shape(f"{item.__name__}List", f"A page of {item.__name__} objects.", fields | (more or {}))


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
_MONEY = Field(description="Money, as text.", examples=["129.00"])
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
        "plan_fee": (str, _MONEY),
        "overage_charge": (str, _MONEY),
        "adjustment_charge": (str, _MONEY),
        "total_charge": (str, _MONEY),
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


class LimitShape(Shape):
    """How much of a limit is used. `included` and `remaining` null: without limit; `used` null: unknown."""

    meter: str
    used: int | None
    included: int | None
    remaining: int | None
    hard: bool = Field(description="Whether more is refused; otherwise it is charged.")
    allowed: bool = Field(description="Whether the request, by default one more, is allowed.")
    why: str


class CheckShape(LimitShape):
    """Whether as much as was asked for is allowed."""

    check: str = Field(description="What was asked for.", examples=["storage"])


class SpendShape(Shape):
    """What the running month of a project costs so far, and at its end."""

    project_id: int
    project: str
    organization_id: int
    organization: str
    tier: str
    so_far: str = _MONEY
    projected: str | None = Field(description="Null in the first 24 hours of a project's month.")
    currency: str
    overage: str = Field(description="The part of `so_far` beyond what the plan includes.")
    projected_overage: str | None = Field(description="That part of `projected`; null where that is.")


class UnpricedShape(Shape):
    """A project without a price: its tier is in no plan."""

    project_id: int
    tier: str


class ExplanationShape(Shape):
    """A closed month's charge down to its hours, with the arithmetic."""

    bill: dict[str, Any]
    plan_version: dict[str, Any]
    rated_again_agrees: bool
    owners: list[dict[str, Any]] = Field(description="The owners of the days, where there are several.")
    later_readings: list[str] = Field(description="What was first read at or after the month's end.")
    lines: list[dict[str, Any]]
    adjustments: list[dict[str, Any]]
    gaps: list[dict[str, Any]]


class AdjustmentShape(Shape):
    """A correction: of a meter's quantity, of money, or of both."""

    id: int
    project_id: int
    kind: str
    meter: str | None
    quantity: int | None
    amount: str | None
    currency: str | None
    usage_date: date = Field(description="The day that it is about.")
    posted_month: str = Field(description="The month that bills it.", examples=["2026-11"])
    reverses: int | None
    reason: str
    actor: str
    created_at: datetime


class RunShape(Shape):
    """A request for a job, and its run."""

    id: int
    job: str
    period: str
    at: datetime
    project_id: int | None
    dry_run: bool
    trigger: str
    requested_by: str
    state: str = Field(description="queued, running, succeeded, failed, cancelled or dead.")
    attempt: int
    progress: dict[str, Any]
    errors: list[Any]
    result: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class AuditShape(Shape):
    """Who did what to what, before and after."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None


class DeviceShape(Shape):
    """A busy device of a project's day; each count is a lower bound, at most `error` too low."""

    device: str
    mqtt_inbound: int
    mqtt_outbound: int
    mqtt_inbound_bytes: int
    mqtt_outbound_bytes: int
    error: int
