"""Parameters that several addresses take, each with the values that it accepts."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Path, Query
from pydantic import BeforeValidator, Field

from api import cursors
from api.problems import Problem
from metering.catalogue.periods import Day, Month, parse_instant

LARGEST_ID = 2**63 - 1
PAGE, MOST = 100, 1_000  # rows of a page: by default, and at most
LONGEST_RANGE = 3_660  # days

_YEAR, _MONTH = "(?:19[7-9][0-9]|[2-8][0-9]{3})", "(?:0[1-9]|1[0-2])"
DATE = f"^{_YEAR}-{_MONTH}-(?:0[1-9]|[12][0-9]|3[01])$"
MONTH = f"^{_YEAR}-{_MONTH}$"
_AS_DATE = {"format": "date"}
_AS_EITHER = {"anyOf": [{"type": "string", "format": name} for name in ("date", "date-time")]}


def _whole(value: object) -> object:
    """Return 7.0 as 7, which it is in JSON; return any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]  # an integer of a JSON body, no text
Id = Annotated[Whole, Field(ge=1, le=LARGEST_ID)]
ProjectId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The project's id.", examples=[42])]
OrganizationId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The organization's id.", examples=[7])]
RunId = Annotated[int, Path(ge=1, le=LARGEST_ID, description="The run's id.", examples=[12])]
OfProject = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Of this project only.")]
OfOrganization = Annotated[int | None, Query(ge=1, le=LARGEST_ID, description="Of this organization only.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description=f"Rows of a page, at most {MOST:,}.")]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=cursors.LONGEST,
        description="`next` of the page before; with the same filters.",
    ),
]
PathDay = Annotated[
    str, Path(pattern=DATE, description="A UTC day.", examples=["2026-11-24"], json_schema_extra=_AS_DATE)
]
PathMonth = Annotated[str, Path(pattern=MONTH, description="A UTC month.", examples=["2026-10"])]
OfMonth = Annotated[str, Query(pattern=MONTH, description="A UTC month.", examples=["2026-10"])]
OptionalMonth = Annotated[str | None, Query(pattern=MONTH, description="A UTC month.")]
OnDay = Annotated[
    str | None,
    Query(pattern=DATE, description="A UTC day; yesterday by default.", json_schema_extra=_AS_DATE),
]
FromDay = Annotated[
    str | None,
    Query(
        alias="from",
        pattern=DATE,
        description="The first day; by default 29 days before `to`.",
        json_schema_extra=_AS_DATE,
    ),
]
ToDay = Annotated[
    str | None,
    Query(alias="to", pattern=DATE, description="The last day, included.", json_schema_extra=_AS_DATE),
]
FromInstant = Annotated[
    str | None,
    Query(
        alias="from",
        max_length=40,
        description="A day or an instant; by default 24 hours before `to`.",
        json_schema_extra=_AS_EITHER,
    ),
]
ToInstant = Annotated[
    str | None,
    Query(
        alias="to",
        max_length=40,
        description="A day, included, or an instant, excluded; by default now.",
        json_schema_extra=_AS_EITHER,
    ),
]


def days(first: str | None, last: str | None, newest: Day) -> tuple[Day, Day]:
    """Return the days of `from` and `to`: by default the thirty up to `newest`.

    Raises PeriodError for a day that is none, Problem 422 for a range in the wrong order or too long.
    """
    end = Day.parse(last) if last else newest
    start = Day.parse(first) if first else Day.of(end.start - timedelta(days=29))
    _refuse_range(start.start, end.end)
    return start, end


def instants(first: str | None, last: str | None, at: datetime) -> tuple[datetime, datetime]:
    """Return `[from, to)` in UTC: a day as `to` is included. Raises PeriodError, Problem 422."""
    end = at if last is None else _end(last)
    start = end - timedelta(hours=24) if first is None else parse_instant(first)
    _refuse_range(start, end)
    return start, end


def month(month_text: str) -> Month:
    """Return the month. Raises PeriodError."""
    return Month.parse(month_text)


def _end(instant_text: str) -> datetime:
    end = parse_instant(instant_text)
    return end + timedelta(days=1) if len(instant_text) <= len("2026-11-24") else end


def _refuse_range(start: datetime, end: datetime) -> None:
    if start >= end:
        raise Problem(422, "`from` is after `to`; give the earlier one first", "range")
    if end - start > timedelta(days=LONGEST_RANGE):
        raise Problem(422, f"the range has more than {LONGEST_RANGE:,} days; ask for less", "range")
