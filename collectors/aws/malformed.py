"""Check answers from outside before they are used: a field may be absent, null or of another type."""

from typing import Any


class MalformedAnswer(Exception):
    """An answer that makes no sense; the message says what is wrong with it."""


# What else an answer of an unexpected shape raises, in botocore's parsers or in ours.
MALFORMED = (
    MalformedAnswer,
    AttributeError,
    LookupError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


def list_of(answer: Any, name: str, required: bool = True) -> list[dict[str, Any]]:
    """Return the list of objects in the field `name`. Raises MalformedAnswer.

    An absent or null field is an empty list where it is not `required`.
    """
    if not isinstance(answer, dict):
        raise MalformedAnswer("it is no object")
    items = answer.get(name)
    if items is None and not required:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise MalformedAnswer(f"{name} is no list of objects")
    return items


def text_of(item: dict[str, Any], name: str) -> str:
    """Return the text in the field `name`. Raises MalformedAnswer when there is none."""
    value = item.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedAnswer(f"{name} is missing or no text")
    return value


def size_of(item: dict[str, Any], name: str) -> int | None:
    """Return the number of bytes in the field `name`, None where it is absent or null.

    Raises MalformedAnswer for anything but a whole number from 0 on.
    """
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MalformedAnswer(f"{name} is {value!r}, which is no number of bytes")
    return value
