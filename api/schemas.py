"""The shapes of answers, for OpenAPI; those of projects and their usage are in `usage_schemas`."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model


class Shape(BaseModel):
    """An object of an answer; later versions may add members."""

    model_config = ConfigDict(json_schema_extra={"additionalProperties": True})


class ProblemShape(Shape):
    """The problem with a request (RFC 9457)."""

    type: str = Field(description="A fixed name of the kind of problem.")
    title: str
    status: int
    detail: str = Field(description="What happened, and what to do.")
    errors: list[dict[str, Any]] | None = None


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


MONEY = Field(description="Money, as text.", examples=["129.00"])


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
    """Whether the requested amount is allowed."""

    check: str = Field(description="What was asked for.", examples=["storage"])


class SpendShape(Shape):
    """The cost of a project's running month so far, and at its end."""

    project_id: int
    project: str
    organization_id: int
    organization: str
    tier: str
    so_far: str = MONEY
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
