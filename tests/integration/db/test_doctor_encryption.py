"""The doctor says whether others can read what goes over the network."""

import socket

import pytest

from collectors.mqtt.diagnostics.checks import _is_local
from fleetmeter.doctor.database import database
from metering.config.settings import Settings


def test_a_server_of_this_machine_needs_no_tls(configured: Settings) -> None:
    (finding, *_) = database(configured)[1]
    assert finding.result.endswith("127.0.0.1, not encrypted")
    assert finding.advice == ""


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("localhost", True), ("::1", True), ("10.0.0.7", False)]
)
def test_a_broker_is_local_by_its_address(host: str, local: bool) -> None:
    assert _is_local(host) == local
    assert not _is_local(socket.gethostname() + ".example")
