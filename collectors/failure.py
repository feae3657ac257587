"""A failed read: the sentence and the kind that are recorded, and whether another attempt makes sense."""

from collections.abc import Iterable
from dataclasses import dataclass

from metering.ledger.failures import SourceFailure, combine


@dataclass(frozen=True)
class Failure(SourceFailure):
    """The reason why something was not read.

    `transient`: the same read may succeed within a minute. `later`: it may within some minutes.
    `whole_place`: everything else in that bucket or repository fails for the same reason.
    `timed_out`: no answer came in time; each such attempt costs minutes.
    """

    transient: bool = False
    later: bool = False
    whole_place: bool = False
    timed_out: bool = False

    @property
    def retryable(self) -> bool:
        """Return whether a later attempt may succeed without any change."""
        return self.transient or self.later


def failure_of_places(failures: Iterable[Failure]) -> Failure:
    """Return the failure of a sum that lacks the places in `failures`."""
    each = list(failures)
    cause = combine(each)
    return Failure(
        cause.reason,
        cause.kind,
        cause.of_project,
        transient=all(failure.transient for failure in each),
        later=all(failure.retryable for failure in each),
    )
