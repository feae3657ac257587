"""Decide when to commit: once a second, or sooner if the broker would otherwise stop sending.

A broker sends a limited number of messages ahead of their acknowledgements (mosquitto 20 unless told
otherwise, AWS IoT Core 100). MQTT does not say how many, so it is learned: the same number of arrivals
twice in a row, each time followed by silence. From then on a commit starts at half of it.
"""

from collectors.mqtt.session import CUT

INTERVAL = 1.0  # seconds between two commits
STALL_SECONDS = 0.3  # seconds without a message that look like a full window
MIN_WINDOW = 10  # messages; fewer are just little traffic
BURST_BYTES = 1_000_000  # bytes since the last commit that justify a commit of their own …
BURST_OVER_SECONDS = 0.03  # … once no byte has come for this many seconds


class FlushPolicy:
    """Reads no clock: `now` is seconds of a monotonic one. `cut_at` packet ids call for a commit at once."""

    def __init__(self) -> None:
        self.cut_at = CUT
        self._next_flush = 0.0
        self._stalled_at = 0

    @property
    def small_window(self) -> bool:
        """Return whether the broker soon waits for us: its window is small."""
        return self.cut_at < CUT

    def due(self, now: float, unsaved_bytes: int, silent_seconds: float) -> bool:
        """Return whether to commit `unsaved_bytes`, the newest of which came `silent_seconds` ago.

        That is once a second, or at once when a burst is over: waiting would gain nothing.
        """
        burst_over = unsaved_bytes >= BURST_BYTES and silent_seconds >= BURST_OVER_SECONDS
        return unsaved_bytes > 0 and (now >= self._next_flush or burst_over)

    def remaining(self, now: float) -> float:
        """Return the seconds until the next regular commit."""
        return max(0.0, self._next_flush - now)

    def flush_started(self, now: float, arrivals: int, silent_seconds: float) -> None:
        """Note a commit of `arrivals` packet ids, the newest of which came `silent_seconds` ago."""
        self._next_flush = now + INTERVAL
        if arrivals > 2 * self.cut_at:
            self.cut_at = CUT
        stalled = arrivals if arrivals >= MIN_WINDOW and silent_seconds > STALL_SECONDS else 0
        if stalled and stalled == self._stalled_at:
            self.cut_at = stalled // 2
        self._stalled_at = stalled

    def connected(self) -> None:
        """Commit immediately after connecting, to keep the redelivery window short."""
        self.cut_at = CUT
        self._next_flush = 0.0
        self._stalled_at = 0
