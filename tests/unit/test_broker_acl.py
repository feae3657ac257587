"""The access list of mosquitto's device listener."""

import pytest

from fleetmeter.broker_acl import PUBLISHED, AclError, lines, usable
from metering.catalogue.platform import Device

OUTBOUND = ("commands", "cmd")
ARM, LEG = Device(11, "arm", 2, 1), Device(12, "leg", 21, 2)


def test_a_device_has_lines_below_its_own_project_only() -> None:
    text = "".join(lines([ARM, LEG], "fleet/eu", ["state"], OUTBOUND, "id"))
    _, arm, leg = text.split("\nuser ")
    assert arm.splitlines() == [
        "11",
        "topic read fleet/eu/1/2/11/commands/#",
        "topic read fleet/eu/1/2/11/cmd/#",
        "topic write fleet/eu/1/2/11/state/#",
    ]
    assert "fleet/eu/2/21/12/" in leg
    assert "fleet/eu/1/" not in leg


def test_no_default_level_is_an_outbound_one() -> None:
    with pytest.raises(AclError, match="may not publish on commands"):
        list(lines([ARM], "r", [*PUBLISHED, "commands"], OUTBOUND, "id"))
    assert list(lines([ARM], "r", PUBLISHED, OUTBOUND, "id"))


@pytest.mark.parametrize("level", ["", "#", "+", "a/b", " state", "$SYS", "a\nuser platform"])
def test_what_is_no_level_is_refused(level: str) -> None:
    with pytest.raises(AclError, match="no level of a topic"):
        list(lines([ARM], "r", [level], OUTBOUND, "id"))


def test_a_name_that_is_shared_or_unusual_is_left_out() -> None:
    names = ["arm", "arm", "leg", "a b", "x/y", "x\ntopic write #", "+", "", "é"]
    devices = [Device(number, name, 2, 1) for number, name in enumerate(names)]
    assert [device.name for device in usable(devices, "name")] == ["leg"]
    assert usable(devices, "id") == devices
