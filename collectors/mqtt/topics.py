"""Parse a topic into organization, project and direction, unless it names no project."""

from typing import NamedTuple

from metering.ledger.mqtt import SAMPLE_LENGTH

MAX_DEVICE = 200  # bytes of a device's name that are kept
MAX_ID = 2**63 - 1  # the platform's ids are bigint


class Address(NamedTuple):
    """The organization and project that a topic names, which the ledger checks, and the device."""

    organization_id: int
    project_id: int
    outbound: bool
    device: bytes


class Topics:
    """Parses `{root}/{org_id}/{project_id}/{device_id}/…`, with this root and these outbound levels."""

    def __init__(self, root: str, outbound_levels: tuple[str, ...]) -> None:
        self._prefix = root.encode() + b"/"
        self._outbound = frozenset(level.encode() for level in outbound_levels)

    def parse(self, topic: bytes) -> Address | None:
        """Return the address in `topic`, or None if it is malformed.

        Malformed: outside the root, fewer than three levels below it, any level empty, not UTF-8,
        with a NUL, or an id that is not a canonical decimal from 1 to 2^63-1. Two spellings of one
        id would be two keys of one project, hence canonical. Length alone is no fault.
        """
        if not topic.startswith(self._prefix) or b"//" in topic or topic.endswith(b"/"):
            return None
        levels = topic[len(self._prefix) :].split(b"/", 4)
        if len(levels) < 3 or not levels[0] or not _is_text(topic):
            return None
        organization, project = _id(levels[0]), _id(levels[1])
        if organization is None or project is None:
            return None
        outbound = len(levels) > 3 and levels[3] in self._outbound
        return Address(organization, project, outbound, levels[2][:MAX_DEVICE])


def sample(topic: bytes) -> str:
    """Return `topic` as printable text of at most 200 characters."""
    text = topic[: 4 * SAMPLE_LENGTH].decode("utf-8", "backslashreplace")[:SAMPLE_LENGTH]
    if text.isprintable():
        return text
    escaped = (char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
    return "".join(escaped)[:SAMPLE_LENGTH]


def _id(level: bytes) -> int | None:
    if not level.isdigit() or level.startswith(b"0") or len(level) > len(str(MAX_ID)):
        return None
    number = int(level)
    return number if number <= MAX_ID else None


def _is_text(topic: bytes) -> bool:
    try:
        return "\0" not in topic.decode()
    except UnicodeDecodeError:
        return False
