"""The allowance of a meter in a tier, and the price of overage (docs/plans.md)."""

from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _exact(value: object) -> object:
    if isinstance(value, float | bool):
        raise ValueError(f'write money as a string, like "0.25", not {value}')
    return value


Money = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, max_digits=28, decimal_places=12)]
Units = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Size = Annotated[int, Field(strict=True, gt=0, lt=2**63)]


class Terms(BaseModel):
    """Base of every section of a plan file: frozen, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Terms):
    """Overage above the step before and up to `up_to` units (None: all the rest)."""

    up_to: Size | None = None
    price: Money = Decimal(0)
    fee: Money = Decimal(0)


class Overage(Terms):
    """How overage is charged.

    per_unit: `price` each. package: `price` for each started `size`. graduated: each step's units
    at that step's price. volume: all units at the price of the step the total falls in. A step's
    `fee` is charged once, when the step is reached (graduated) or is the one that applies (volume).
    """

    model: Literal["per_unit", "package", "graduated", "volume"]
    price: Money | None = None
    size: Size | None = None
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _fits_its_model(self) -> "Overage":
        stepped = self.model in ("graduated", "volume")
        if stepped != bool(self.steps) or stepped == (self.price is not None):
            raise ValueError(f"{self.model} takes {'steps' if stepped else 'a price'} and nothing else")
        if (self.model == "package") != (self.size is not None):
            raise ValueError("package takes a size, and no other model does")
        return self

    @model_validator(mode="after")
    def _steps_rise(self) -> "Overage":
        bounds = [step.up_to for step in self.steps]
        if bounds and (bounds[-1] is not None or None in bounds[:-1]):
            raise ValueError("every step needs an up_to but the last one, which has none")
        for below, above in pairwise(bound for bound in bounds if bound is not None):
            if above <= below:
                raise ValueError(f"steps must rise: up_to {above} follows up_to {below}")
        return self


class Allowance(Terms):
    """The allowance of a meter in a tier; without `overage` nothing more is charged.

    `limit` hard: LimitService refuses more; soft: more is allowed, and charged. `basis` is how a
    gauge's month is measured: by its peak, or by the average of its sealed days.
    """

    included: Units
    limit: Literal["hard", "soft"] = "soft"
    basis: Literal["peak", "average"] = "peak"
    overage: Overage | None = None
