"""A broker that cannot be counted exactly is told by its name."""

import pytest

from metering.catalogue.brokers import is_approximate


@pytest.mark.parametrize(
    ("host", "approximate"),
    [
        ("a1b2c3-ats.iot.eu-west-1.amazonaws.com", True),
        ("A1B2C3-ATS.IOT.EU-WEST-1.AMAZONAWS.COM.", True),
        ("a1b2c3.ats.iot.cn-north-1.amazonaws.com.cn", True),
        ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", False),
        ("broker.iot.example.com", False),
        ("localhost", False),
    ],
)
def test_aws_iot_core_is_known_by_its_endpoint(host: str, approximate: bool) -> None:
    assert is_approximate(host) == approximate
