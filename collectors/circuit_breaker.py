"""Stop asking a place that fails alike for every project."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from collectors.aws.client import CONCURRENCY
from collectors.aws.errors import FAILURES, to_failure
from collectors.aws.malformed import MALFORMED
from collectors.failure import Failure
from metering.config.aws import Place

Answer = TypeVar("Answer")


@dataclass
class CircuitBreaker:
    """Reads one project after another from `place`, until a failure concerns all of them.

    A transient failure has cost several attempts. After as many in a row as are read at once, the rest
    of the pass is not read; after as many timeouts, nothing is read any more. `variable` is the setting
    that names the place.
    """

    place: Place
    variable: str
    tripped_by: Failure | None = None
    consecutive: int = 0
    timeouts: int = 0

    def start_pass(self) -> None:
        """Begin another pass: read again after transient failures."""
        self.consecutive = 0
        if self.tripped_by and self.tripped_by.transient:
            self.tripped_by = None

    def call(self, read: Callable[[], Answer], name: str | None = None) -> Answer | Failure:
        """Return the result of `read`, or the failure if it failed or was not called.

        `name`: of what is read, where each project has a repository of its own in this place.
        """
        if self.tripped_by:
            return self.tripped_by
        try:
            answer = read()
        except (*FAILURES, *MALFORMED) as error:
            return self.record_failure(error, name)
        self.record_success()
        return answer

    def record_success(self) -> None:
        """Note that the place answers."""
        self.consecutive = 0

    def record_failure(self, error: Exception, name: str | None = None) -> Failure:
        """Return the failure that `error` means; one of the whole place opens the circuit."""
        place = replace(self.place, name=name) if name else self.place
        failure = to_failure(error, place, self.variable, of_one_project=name is not None)
        self.consecutive = self.consecutive + 1 if failure.transient else 0
        self.timeouts += failure.timed_out
        if failure.whole_place or max(self.consecutive, self.timeouts) >= CONCURRENCY:
            self.tripped_by = failure
        return failure
