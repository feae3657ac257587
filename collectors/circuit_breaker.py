"""When to stop asking: what fails alike for every project is not asked for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from collectors.aws.client import CONCURRENCY
from collectors.aws.errors import FAILURES, Failure, failure
from metering.config.aws import Place

Answer = TypeVar("Answer")


@dataclass
class Breaker:
    """Asks for one project after another until an answer is the same for all of them.

    Each failure that may pass has cost several attempts. When as many in a row as are asked at once have
    failed, the rest of the pass is not asked; when as many did not answer, nothing is any more.
    """

    place: Place
    variable: str
    stopped: Failure | None = None
    in_a_row: int = 0
    silent: int = 0

    def start(self) -> None:
        """Another pass: what failed for a passing reason may be asked again."""
        self.in_a_row = 0
        if self.stopped and self.stopped.passing:
            self.stopped = None

    def ask(self, read: Callable[[], Answer]) -> Answer | Failure:
        """What `read` returns, or why it cannot."""
        if self.stopped:
            return self.stopped
        try:
            answer = read()
        except FAILURES as error:
            return self.note(error)
        self.answered()
        return answer

    def answered(self) -> None:
        """The place does answer."""
        self.in_a_row = 0

    def note(self, error: Exception) -> Failure:
        """The failure that `error` is; one of the whole place stops what comes after."""
        why = failure(error, self.place, self.variable)
        self.in_a_row = self.in_a_row + 1 if why.passing else 0
        self.silent += why.silent
        if why.whole or max(self.in_a_row, self.silent) >= CONCURRENCY:
            self.stopped = why
        return why
