"""The parts of paho that are not public are there and do what the module `paho_client` relies on."""

import inspect

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from collectors.mqtt.connection import BrokerConnection
from collectors.mqtt.endpoint import Endpoint


def client() -> paho.Client:
    return paho.Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)


def test_private_names_exist() -> None:
    for name in (
        "_packet_handle",
        "_packet_queue",
        "_loop_rc_handle",
        "_send_pingreq",
        "_handle_pingresp",
        "_in_packet",
        "_ping_t",
        "_last_msg_out",
        "_last_bytes_received",
    ):
        assert hasattr(client(), name), name
    assert hasattr(paho.MQTTMessage(), "_topic")
    assert list(inspect.signature(paho.Client._packet_queue).parameters)[1:5] == [
        "command",
        "packet",
        "mid",
        "qos",
    ]


def test_a_packet_is_handled_from_in_packet() -> None:
    one = client()
    one._ping_t = 1.0
    one._in_packet.update(command=0xD0, remaining_length=0, packet=bytearray())
    assert one._packet_handle() == MQTTErrorCode.MQTT_ERR_SUCCESS
    assert one._ping_t == 0


def test_a_broker_that_is_not_there_is_a_failure_and_not_an_error() -> None:
    nowhere = Endpoint("127.0.0.1", 1, None, "me", "secret", "id")
    connection = BrokerConnection(nowhere, True, lambda _present: None, lambda _count: None)
    assert not connection.alive
    assert "refused" in str(connection.failure)
    assert "secret" not in repr(nowhere)
    connection.acknowledge(b"\x40\x02\x00\x01", 1)
    connection.close()
