"""Write the access list of mosquitto's device listener: the topics of each device.

A device publishes below its own project and id, and on inbound levels only: the levels before the device say
who is billed, an outbound level would change the direction. It reads its own outbound levels.
mosquitto cannot allow all levels but some (a `deny` also stops what the device shall read), so the list names
the levels on which devices publish.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from metering.catalogue.platform import Device
from metering.errors import FleetmeterError

PUBLISHED = (
    *("telemetry", "tele", "state", "status", "events", "logs", "metrics", "data", "sensors", "alerts"),
    *("health", "diagnostics", "location", "responses", "sessions"),
)
NameOf = Literal["id", "name"]
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
LEVEL = re.compile(r"[^\s/+#$\x00-\x1f\x7f][^/+#\x00-\x1f\x7f]*")

HEADER = """\
# The device listener of mosquitto: the topics of each user. A topic without a line is refused.
# Written by `fleetmeter broker-acl`; write it again when devices or projects change, and reload mosquitto.
# A user is the common name of a device's certificate: the device's {name_of}.
"""


class AclError(FleetmeterError):
    """The access list cannot be written; names the level that is wrong."""


def lines(
    devices: Iterable[Device], root: str, published: Sequence[str], outbound: Sequence[str], name_of: NameOf
) -> Iterator[str]:
    """Yield the access list in pieces, a device at a time.

    `published` are the levels after the device on which devices publish, `outbound` those on which the
    platform does. Raises AclError for a level that is in both, or no single level.
    """
    _require_levels(published, outbound)
    yield HEADER.format(name_of=name_of)
    for device in devices:
        user = str(getattr(device, name_of))
        place = f"{root}/{device.organization_id}/{device.project_id}/{user}"
        rights = [f"topic read {place}/{level}/#" for level in outbound]
        rights += [f"topic write {place}/{level}/#" for level in published]
        yield "\n".join(["", f"user {user}", *rights, ""])


def usable(devices: Sequence[Device], name_of: NameOf) -> list[Device]:
    """Return the devices whose user name is theirs alone and safe in the file.

    Ids always are. Names are chosen by customers: one that two devices share would let each bill the
    other's project.
    """
    if name_of == "id":
        return list(devices)
    counts: dict[str, int] = {}
    for device in devices:
        counts[device.name] = counts.get(device.name, 0) + 1
    return [device for device in devices if counts[device.name] == 1 and SAFE_NAME.fullmatch(device.name)]


def _require_levels(published: Sequence[str], outbound: Sequence[str]) -> None:
    for level in (*published, *outbound):
        if not LEVEL.fullmatch(level):
            raise AclError(
                f"{level!r} is no level of a topic: it holds a /, + or #, or begins with a blank or $"
            )
    if both := sorted(set(published) & set(outbound)):
        raise AclError(
            f"devices may not publish on {', '.join(both)}: MQTT_OUTBOUND_LEVELS names it as outbound"
        )
