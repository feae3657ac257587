"""Recognise another client that uses the counter's client id, by how the broker ends our connections.

A broker ends a connection when its client id connects again, and hands the session's messages to the new
connection. MQTT 5 brokers may say so (reason code 0x8E), others just close. A single close means little: a
restart of the broker looks the same. What repeats soon after the broker has let us in does not.
"""

SHORT_SECONDS = 30.0  # a connection that ends so soon after CONNACK is suspicious
MAX_SHORT = 5  # such connections in a row
CALM_SECONDS = 60.0  # a connection that lasts so long shows that the session is ours alone


class TakeoverDetector:
    """Reads no clock: instants are seconds of a monotonic one."""

    def __init__(self) -> None:
        self.since: float | None = None  # the first of the connections in a row
        self._short = 0

    @property
    def detected(self) -> bool:
        """Return whether another client uses the client id."""
        return self._short >= MAX_SHORT

    def connection_ended(self, connected_at: float, now: float, by_broker: bool) -> None:
        """Note the end of a connection that the broker had accepted."""
        if not by_broker:
            self._short, self.since = 0, None
            return
        if now - connected_at > SHORT_SECONDS:
            self._short = 0
            self.since = now
            return
        if self.since is None:
            self.since = connected_at
        self._short += 1

    def is_calm(self, connected_at: float, now: float) -> bool:
        """Return whether a connection has lasted long enough to end the suspicion, and end it."""
        if self._short and now - connected_at > CALM_SECONDS:
            was_detected = self.detected
            self._short, self.since = 0, None
            return was_detected
        return False
