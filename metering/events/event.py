"""One event as its sender wrote it, in the terms of CloudEvents 1.0, checked without the database."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from metering.catalogue.meters import METERS
from metering.catalogue.own_meters import LARGEST
from metering.catalogue.periods import EARLIEST, LATEST, utc
from metering.ledger.own_usage import REPORTABLE

LONGEST = 1_024  # bytes in UTF-8 of a source, and of an id: both are in one key of an index
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_PROJECT = re.compile(r"[1-9][0-9]{0,18}")
_WORD = re.compile(r"[^\x00-\x20\x7f-\x9f\ud800-\udfff]+")  # a URI reference has no white space
_TEXT = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]+")
_HALF = re.compile("[\ud800-\udfff]")  # of a surrogate pair: in no encoding


class EventRefused(Exception):
    """An event that cannot be counted: a short code for programs, and a sentence for people."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Event:
    """A quantity of a meter that a project used at `time` (aware, UTC); None: when it was received."""

    source: str
    id: str
    meter: str
    project_id: int
    time: datetime | None
    quantity: int


def parse(written: Any, own: Collection[str]) -> Event:
    """Return the event of a CloudEvent's attributes. Raises EventRefused.

    `own`: the names of the declared meters of the platform's own.
    """
    if not isinstance(written, Mapping):
        raise EventRefused("not_an_event", "an event is a JSON object")
    if written.get("specversion") != "1.0":
        raise EventRefused("invalid_specversion", 'specversion must be "1.0"')
    return Event(
        _identity(written, "source", _WORD),
        _identity(written, "id", _TEXT),
        _meter(written.get("type"), own),
        _project(written.get("subject")),
        _time(written.get("time")),
        _quantity(written),
    )


def id_of(written: Any) -> str | None:
    """Return the id of a sent event, None where an answer cannot hold it as text."""
    identity = written.get("id") if isinstance(written, Mapping) else None
    return identity if isinstance(identity, str) and not _HALF.search(identity) else None


def _identity(written: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = written.get(name)
    if not isinstance(value, str) or not form.fullmatch(value):
        blank = " and spaces" if name == "source" else ""
        raise EventRefused(f"invalid_{name}", f"{name} must be a text without control characters{blank}")
    if len(value.encode()) > LONGEST:
        raise EventRefused(f"invalid_{name}", f"{name} is longer than {LONGEST:,} bytes")
    return value


def _meter(name: Any, own: Collection[str]) -> str:
    if isinstance(name, str) and (name in own or name in REPORTABLE):
        return name
    if isinstance(name, str) and name in METERS:
        raise EventRefused(
            "not_reportable",
            f"{name} is measured from the platform's own tables or from AWS; events would count it twice",
        )
    meters = ", ".join((*own, *REPORTABLE))
    raise EventRefused(
        "unknown_meter", f"type must be a meter that takes events: {meters}; see FLEETMETER_METERS"
    )


def _project(subject: Any) -> int:
    if not isinstance(subject, str):
        raise EventRefused("invalid_subject", "subject must be the id of a project, as a text")
    if not _PROJECT.fullmatch(subject) or int(subject) > LARGEST:
        raise unknown_project()
    return int(subject)


def unknown_project() -> EventRefused:
    """Return the refusal of a project that does not exist for the sender's organization."""
    return EventRefused("unknown_project", "subject names no project that this token may report for")


def _time(text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        if not isinstance(text, str) or not _INSTANT.fullmatch(text):
            raise ValueError
        at = utc(datetime.fromisoformat(text.upper()))
    except (ValueError, OverflowError):
        sentence = "time must be an instant of RFC 3339 with its offset, like 2026-11-27T10:05:00Z"
        raise EventRefused("invalid_time", sentence) from None
    if not EARLIEST <= at.year <= LATEST:
        raise EventRefused("invalid_time", f"time must be between the years {EARLIEST} and {LATEST}")
    return at


def _quantity(written: Mapping[str, Any]) -> int:
    data = written.get("data")
    if not isinstance(data, Mapping) or "quantity" not in data:
        raise EventRefused("invalid_data", "data must be a JSON object with the integer quantity")
    quantity = data["quantity"]
    is_number = isinstance(quantity, int | Decimal) and not isinstance(quantity, bool)
    if not is_number or not (isinstance(quantity, int) or quantity.is_finite()):
        raise EventRefused("invalid_quantity", "data.quantity must be an integer from 0 to 2^63 - 1")
    if quantity < 0:
        raise EventRefused(
            "negative_quantity", "data.quantity cannot be negative; corrections are adjustments"
        )
    if quantity > LARGEST:
        raise EventRefused("quantity_too_large", "data.quantity must be at most 2^63 - 1")
    if quantity != int(quantity):
        raise EventRefused("invalid_quantity", "data.quantity must be an integer; declare a smaller unit")
    return int(quantity)
