"""paho's client with functions that its public interface lacks; no other module uses private parts.

Their names are pinned by the version range in pyproject.toml and by tests/unit/mqtt/test_connection.py:
`_in_packet`, `_packet_handle`, `_packet_queue`, `_loop_rc_handle`, `_send_pingreq`,
`_handle_pingresp`, `_ping_t`, `_last_msg_out`, `_last_bytes_received`, and a message's `_topic`.
"""

import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from collectors.mqtt.codec import Malformed

KEEPALIVE = 30  # seconds


class PahoClient(paho.Client):
    """A client that acknowledges by hand, never reconnects, and takes packets that others have read.

    `sends_ping` is called before each PINGREQ, `has_pong` before each PINGRESP is handled.
    """

    def __init__(
        self, client_id: str, v5: bool, sends_ping: Callable[[], None], has_pong: Callable[[], None]
    ) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if v5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if v5 else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        self._sends_ping = sends_ping
        self._has_pong = has_pong

    def _send_pingreq(self) -> MQTTErrorCode:
        self._sends_ping()
        return super()._send_pingreq()

    def _handle_pingresp(self) -> MQTTErrorCode:
        self._has_pong()
        return super()._handle_pingresp()

    def send_ping(self) -> None:
        """Send a PINGREQ."""
        self._send_pingreq()

    def send_pubacks(self, pubacks: bytes) -> None:
        """Send PUBACK packets as they are."""
        self._packet_queue(0x40, pubacks, 0, 0)

    def note_received(self) -> None:
        """Restart the keepalive: bytes were read without paho."""
        self._last_bytes_received = time.monotonic()

    def keep_alive_while_paused(self) -> None:
        """Send a PINGREQ in time, and expect no answer."""
        self.note_received()
        if time.monotonic() - self._last_msg_out > KEEPALIVE / 2:
            self._send_pingreq()
            self._ping_t = 0.0
            self._last_msg_out = time.monotonic()

    def handle_packet(self, header: int, body: bytes) -> None:
        """Handle a packet that is not a PUBLISH. Raises Malformed."""
        self._in_packet = {
            "command": header,
            "have_remaining": 1,
            "remaining_count": [],
            "remaining_mult": 1,
            "remaining_length": len(body),
            "packet": bytearray(body),
            "to_process": 0,
            "pos": 0,
        }
        try:
            code = self._packet_handle()
        except Exception as error:  # paho raises a dozen kinds for bytes that make no sense
            raise Malformed(f"packet type {header >> 4}: {error}") from error
        if code:
            self._loop_rc_handle(code)

    def end(self) -> None:
        """End the connection as one that was lost."""
        self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)


def topic_of(message: paho.MQTTMessage) -> bytes:
    """Return a message's topic as it was sent, which may be no text."""
    return message._topic
