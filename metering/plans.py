"""The plans: versions with an effective date, tiers, what each includes and what more costs.

`FLEETMETER_PLANS` names a TOML like the one that ships, metering/plans.toml. Amounts of money are
strings: a float would not be exact.
"""

import hashlib
import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from metering.errors import PlanError
from metering.meters import METERS

SHIPPED = Path(__file__).with_name("plans.toml")


def _exact(value: object) -> object:
    if isinstance(value, float):
        raise ValueError('write money as a string, like "0.25"')
    return value


Money = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0)]


class Terms(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Step(Terms):
    """Overage above the step before and up to `up_to` units (None: all the rest)."""

    up_to: int | None = Field(default=None, gt=0)
    price: Money
    fee: Money = Decimal(0)


class Overage(Terms):
    """How what exceeds the allowance is charged.

    per_unit: `price` each. package: `price` for each started `size`. graduated: each step's units
    at that step's price. volume: all units at the price of the step the total falls in.
    """

    model: Literal["per_unit", "package", "graduated", "volume"]
    price: Money = Decimal(0)
    size: int = Field(default=1, gt=0)
    steps: tuple[Step, ...] = ()

    @model_validator(mode="after")
    def _steps_rise(self) -> "Overage":
        bounds = [step.up_to for step in self.steps]
        stepped = self.model in ("graduated", "volume")
        if stepped and (not bounds or bounds[-1] is not None or None in bounds[:-1]):
            raise ValueError("steps need a rising up_to, and the last one none")
        finite = [bound for bound in bounds if bound is not None]
        if finite != sorted(set(finite)) or (not stepped and bounds):
            raise ValueError("steps need a rising up_to, and belong to graduated and volume only")
        return self


class Allowance(Terms):
    """What a tier includes of a meter; without `overage` nothing more is charged."""

    included: int = Field(ge=0)
    limit: Literal["hard", "soft"] = "soft"
    basis: Literal["peak", "average"] = "peak"
    overage: Overage | None = None


class Tier(Terms):
    """A tier: a monthly fee for each project, and its allowances. Projects and users: an organization's."""

    fee: Money = Decimal(0)
    projects: int | None = Field(default=None, ge=0)
    users: int | None = Field(default=None, ge=0)
    meters: dict[str, Allowance] = {}

    @model_validator(mode="after")
    def _meters_exist(self) -> "Tier":
        unknown = sorted(set(self.meters) - set(METERS))
        if unknown:
            raise ValueError(f"there is no meter {', '.join(unknown)}; the meters are {', '.join(METERS)}")
        return self


class PlanVersion(Terms):
    """The plans in force from `effective` on, until a later version."""

    effective: date
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    minor_digits: int = Field(default=2, ge=0, le=6)
    tiers: dict[str, Tier]

    def content(self) -> dict[str, Any]:
        """What plan_versions keeps: everything, money as strings."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the content."""
        canonical = json.dumps(self.content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def tier(self, name: str) -> Tier:
        """Raises PlanError for a tier that the plans do not name."""
        if name not in self.tiers:
            known = ", ".join(sorted(self.tiers))
            raise PlanError(
                f"the plans name no tier {name[:80]!r}, only {known}; add it, or change the organization"
            )
        return self.tiers[name]


class Plans(Terms):
    """Every version, by effective date."""

    versions: tuple[PlanVersion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _dates_differ(self) -> "Plans":
        if len({version.effective for version in self.versions}) < len(self.versions):
            raise ValueError("two versions have the same effective date")
        return self

    def in_force(self, day: date) -> PlanVersion:
        """The version in force on `day`; before the first one, the first one."""
        ordered = sorted(self.versions, key=lambda version: version.effective)
        return [ordered[0], *(version for version in ordered if version.effective <= day)][-1]


def load(path: Path | None) -> Plans:
    """The plans of a TOML file, the shipped ones for None. Raises PlanError, which says where."""
    path = path or SHIPPED
    try:
        return Plans.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        raise PlanError(
            f"the plans in {path} cannot be read ({error.strerror}); correct FLEETMETER_PLANS"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"the plans in {path} are no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PlanError(f"the plans in {path} are wrong at {where}: {first['msg']}") from error
