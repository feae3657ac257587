"""CloudEvents 1.0 over HTTP: the events of a request, in structured, batch or binary mode, as JSON values.

Only the body is read here. What an event says is checked by `metering.events`, each event by itself.
"""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn
from urllib.parse import unquote

from starlette.datastructures import Headers

from api.problems import Problem
from metering.events.receive import MOST_EVENTS

EVENT = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
JSON = "application/json"
PREFIX = "ce-"
LONGEST_INTEGER = 100  # characters
_DATA = re.compile(r"[^/ ]+/(?:[^/ ]*\+)?json")  # what CloudEvents takes for JSON in binary mode
ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time")


def events(headers: Headers, body: bytes) -> list[Any]:
    """Return the events of a request. Raises Problem 400 for what is not JSON, 413 for too many, 415."""
    kind = headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if f"{PREFIX}specversion" in headers and kind not in (EVENT, BATCH) and _DATA.fullmatch(kind):
        return [_binary(headers, body)]
    if kind not in (EVENT, BATCH, JSON):
        raise Problem(415, f"usage is sent as {EVENT}, {BATCH} or {JSON}, in binary mode as any JSON")
    value = _parsed(body)
    if isinstance(value, list):
        if kind == EVENT:
            raise Problem(400, f"{EVENT} is one event; a batch is {BATCH}")
        return _bounded(value)
    if kind == BATCH or not isinstance(value, dict):
        raise Problem(400, f"a batch is an array of events as {BATCH}, one event is an object as {EVENT}")
    return [value]


def _binary(headers: Headers, body: bytes) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for name in ATTRIBUTES:
        values = headers.getlist(PREFIX + name)
        if len(values) > 1:
            raise Problem(400, f"the header {PREFIX}{name} is there twice")
        if values:
            attributes[name] = _decoded(values[0])
    return attributes | {"data": _parsed(body)}


def _decoded(value: str) -> str:
    """Return a header's value without the quotes of a quoted string, percent-decoded."""
    value = value.strip()
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Problem(400, "a ce- header is not percent-encoded UTF-8") from None


def _bounded(batch: list[Any]) -> list[Any]:
    if len(batch) > MOST_EVENTS:
        raise Problem(413, f"a batch holds at most {MOST_EVENTS:,} events; send it in parts")
    return batch


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(
            body.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_decimal,
            parse_int=_integer,
        )
    except RecursionError as error:
        raise Problem(400, "the body is nested too deeply") from error
    except ValueError as error:
        raise Problem(400, f"the body is not JSON in UTF-8: {error}") from error


def _decimal(number: str) -> Decimal | float:
    """Return a number without loss; a float where its exponent is beyond Decimal, which no event takes."""
    try:
        return Decimal(number)
    except InvalidOperation:
        return float(number)


def _integer(digits: str) -> int | Decimal:
    """Return an integer of any length: Python takes at most some thousand digits as an int."""
    return int(digits) if len(digits) <= LONGEST_INTEGER else Decimal(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
