"""When to commit: once a second, or sooner when the broker would otherwise stop sending.

A broker sends a limited number of messages ahead of their acknowledgements (mosquitto 20 unless told
otherwise, AWS IoT Core 100). MQTT does not say how many, so it is learned: twice in a row the same
number and then silence. From then on a commit comes at half of it.
"""

from collectors.mqtt.session import CUT

INTERVAL = 1.0  # seconds between two commits
SILENCE = 0.3  # seconds without a message that look like a full window
SMALLEST = 10  # fewer messages than this are just little traffic
BURST = 1_000_000  # bytes since the last commit that are worth one of their own …
OVER = 0.03  # … when nothing came for so many seconds


class FlushPolicy:
    """Reads no clock: `now` is seconds of a monotonic one. `cut_at` ids call for a commit at once."""

    def __init__(self) -> None:
        self.cut_at = CUT
        self._next = 0.0
        self._stalled_at = 0

    @property
    def narrow(self) -> bool:
        """True when the broker's window is so small that it is soon waiting for us."""
        return self.cut_at < CUT

    def due(self, now: float, unsaved: int, silent: float) -> bool:
        """Whether to commit `unsaved` bytes, the newest of which came `silent` seconds ago.

        Once a second, or at once when a burst is over: it would only wait.
        """
        return unsaved > 0 and (now >= self._next or (unsaved >= BURST and silent >= OVER))

    def remaining(self, now: float) -> float:
        """Seconds until the next regular commit."""
        return max(0.0, self._next - now)

    def cut(self, now: float, arrivals: int, silent: float) -> None:
        """A commit begins with so many arrivals, the newest `silent` seconds ago."""
        self._next = now + INTERVAL
        if arrivals > 2 * self.cut_at:
            self.cut_at = CUT
        stalled = arrivals if arrivals >= SMALLEST and silent > SILENCE else 0
        if stalled and stalled == self._stalled_at:
            self.cut_at = stalled // 2
        self._stalled_at = stalled

    def connected(self) -> None:
        """A new connection: the first commit comes at once, since it ends what may come again."""
        self.cut_at = CUT
        self._next = 0.0
        self._stalled_at = 0
