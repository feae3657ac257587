"""The plans: versions with an effective date, tiers, their allowances and prices.

`FLEETMETER_PLANS` names a TOML like the one that ships, metering/pricing/plans.toml; docs/plans.md explains
every key. Amounts of money are Decimal from the file on; a float would not be exact.
"""

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from metering.catalogue import own_meters
from metering.catalogue.meters import GAUGE_NAMES, METERS
from metering.config.settings import load_settings
from metering.errors import PlanError
from metering.pricing.price_terms import Allowance, Money, Terms, Units

SHIPPED = Path(__file__).with_name("plans.toml")


# Decimals of a currency's minor unit (ISO 4217) where they are not two.
WHOLE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
THREE = "BHD IQD JOD KWD LYD OMR TND"
MINOR_DIGITS = dict.fromkeys(WHOLE.split(), 0) | dict.fromkeys(THREE.split(), 3) | {"CLF": 4, "UYW": 4}
NAMED = 5  # mistakes that an error lists


class Tier(Terms):
    """A tier: a monthly fee for each project, and its allowances. Projects and users: an organization's."""

    fee: Money = Decimal(0)
    projects: Units | None = None
    users: Units | None = None
    meters: dict[str, Allowance] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _meters_exist(self, info: ValidationInfo) -> "Tier":
        own: Collection[str] | None = (info.context or {}).get("own", ())
        unknown = sorted(set(self.meters) - {*METERS, *(self.meters if own is None else own)})
        if unknown:
            names = ", ".join((*METERS, *(own or ())))
            raise ValueError(
                f"there is no meter {', '.join(unknown)}; the meters are {names}; FLEETMETER_METERS has own"
            )
        for name, allowance in self.meters.items():
            if name not in GAUGE_NAMES and allowance.basis != "peak":
                raise ValueError(f"{name} is counted, not a level: it has no average")
        return self


class PlanVersion(Terms):
    """The plans in force from `effective` on, until a later version.

    `prorate`: a month is rated by the tier in force on each of its days, fee and allowances in
    proportion; otherwise the whole month by the tier of its last day. `minor_digits`: left out, those
    of the currency.
    """

    effective: date
    currency: str = Field(pattern=r"^[A-Z]{3}$")
    minor_digits: Annotated[int, Field(strict=True, ge=0, le=6)] = 2
    prorate: Annotated[bool, Field(strict=True)] = False
    tiers: dict[str, Tier] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _digits_of_the_currency(cls, written: Any) -> Any:
        if not isinstance(written, dict) or "minor_digits" in written:
            return written
        return written | {"minor_digits": MINOR_DIGITS.get(str(written.get("currency")), 2)}

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "PlanVersion":
        """Return the version of a stored `content()`, so that a month can be rated again years later.

        It may name own meters that are no longer declared. Raises PlanError if it is no plan version.
        """
        try:
            return cls.model_validate(content, context={"own": None})
        except ValidationError as error:
            raise PlanError("the stored plan version is none: it was rewritten") from error

    def content(self) -> dict[str, Any]:
        """Return the whole version as JSON, money as strings, as plan_versions stores it."""
        return self.model_dump(mode="json")

    @property
    def hash(self) -> str:
        """Return the SHA-256 of the canonical JSON of the content (docs/proof.md)."""
        canonical = json.dumps(self.content(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def tier(self, name: str) -> Tier:
        """Return the tier `name`. Raises PlanError if the plans do not name it."""
        if name not in self.tiers:
            names = ", ".join(sorted(self.tiers))
            raise PlanError(
                f"the plans name no tier {name[:80]!r}, only {names}; add it to the version of "
                f"{self.effective}: sealed days keep their tier"
            )
        return self.tiers[name]


class Plans(Terms):
    """Every version, by effective date."""

    versions: tuple[PlanVersion, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _dates_differ(self) -> "Plans":
        dates = [version.effective for version in self.versions]
        twice = sorted({day for day in dates if dates.count(day) > 1})
        if twice:
            raise ValueError(f"two versions have the same effective date, {twice[0]}")
        return self

    def in_force(self, day: date) -> PlanVersion:
        """Return the version in force on `day`; before the first version, the first one."""
        ordered = sorted(self.versions, key=lambda version: version.effective)
        return [ordered[0], *(version for version in ordered if version.effective <= day)][-1]


def load(path: Path | None, own: Collection[str] | None = None) -> Plans:
    """Load the plans of a TOML file, the shipped ones for None. Raises PlanError with the place.

    `own`: the meters of the platform's own that they may name; left out, those that FLEETMETER_METERS
    declares. Raises SettingsError if that file is wrong.
    """
    path = path or SHIPPED
    try:
        written = tomllib.loads(path.read_text("utf-8"), parse_float=Decimal)
    except OSError as error:
        raise PlanError(
            f"the plans in {path} cannot be read ({error.strerror}); correct FLEETMETER_PLANS"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"the plans in {path} are no TOML: {error}") from error
    try:
        return Plans.model_validate(written, context={"own": _declared(path) if own is None else own})
    except ValidationError as error:
        problems = [_sentence(written, problem) for problem in _causes(error.errors())]
        more = f" (and {len(problems) - NAMED} more)" if problems[NAMED:] else ""
        listed = "; ".join(problems[:NAMED])
        raise PlanError(f"the plans in {path} are wrong: {listed}{more}") from error


def _declared(path: Path) -> Collection[str]:
    """Return the names of the declared meters; the plans that ship name none."""
    return () if path == SHIPPED else own_meters.load(load_settings().meters)


# What the library says in its own terms.
IN_WORDS = {
    "missing": "it is missing",
    "extra_forbidden": "there is no such key",
    "tuple_type": "it must be a list; a version begins with [[versions]]",
}


def _causes(problems: list[Any]) -> list[Any]:
    """Return the mistakes, without the emptiness of sections that hold another one."""
    places = [problem["loc"] for problem in problems]
    return [
        problem
        for problem in problems
        if problem["type"] != "too_short" or not any(_inside(place, problem["loc"]) for place in places)
    ]


def _inside(place: Sequence[Any], outer: Sequence[Any]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _sentence(written: dict[str, Any], problem: Any) -> str:
    """Return the place of a mistake (version by its date, tier, meter, key), and the mistake."""
    named = {"versions": "version", "tiers": "tier", "meters": "meter"}
    where, keys, path = [], [], list(problem["loc"])
    while path:
        part = path.pop(0)
        if part in named and path:
            where.append(f"{named[part]} {_name(written, part, path.pop(0))}")
        else:
            keys.append(str(part))
    place = ", ".join([*where, *([".".join(keys)] if keys else [])])
    sentence = IN_WORDS.get(problem["type"], problem["msg"].removeprefix("Value error, "))
    return f"{place}: {sentence}" if place else sentence


def _name(written: dict[str, Any], part: str, key: Any) -> str:
    if part != "versions":
        return str(key)
    version = written["versions"][key]
    return str(version.get("effective", key + 1) if isinstance(version, dict) else key + 1)
