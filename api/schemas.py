"""The shapes of answers, for OpenAPI: fields of counters and gauges come from the catalogue of meters."""

from datetime import datetime
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
    lifetime=(dict[str, int], Field(description="Counters of all closed months.")),
    open_from=(datetime | None, Field(description="The first hour that may still change.")),
    updated_at=(datetime | None, Field(description="When a figure last changed.")),
    measured_at=(dict[str, datetime | None], Field(description="When each source was last measured.")),
    age_seconds=(
        dict[str, float | None],
        Field(description="How long ago each source was measured; null if never."),
    ),
)
