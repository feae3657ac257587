"""The outcome of a run, for people, programs and exit codes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from metering.runs import words

LISTED = 20  # failures named one by one


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    `state`: succeeded, partial (some projects or sources were left out), failed, dead, cancelled; or
    queued or running, if another worker has the run. `errors`: one for each failure, with `project_id`
    (None for a source), `error` and `passing`. `throttles`: answers by which sources asked this process
    for fewer requests.
    """

    run_id: int
    job: str
    period: str
    state: str
    result: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    throttles: int = 0

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Outcome":
        """Return the outcome of a run, given as its row of `job_runs`."""
        result, errors = row["result"] or {}, list(row["errors"] or [])
        partial = row["state"] == "succeeded" and left_out(result, errors)
        state = "partial" if partial else row["state"]
        return cls(row["id"], row["job"], row["period"], state, result, errors)

    @property
    def exit_code(self) -> int:
        """Return 0 if the run did everything that it was asked for, else 1."""
        return 0 if self.state == "succeeded" else 1

    @property
    def sentence(self) -> str:
        """Return the outcome on one line, and a line for each failure."""
        summary = words.describe(self.result, bool(self.result.get("dry_run")))
        head = f"{self.job} {self.period} {label(self.state, self.result, self.errors)}"
        head += f": {summary}" if summary else ""
        return "\n".join([head, *map(_line, self.errors[:LISTED])])


def left_out(result: Mapping[str, Any], errors: Sequence[Any]) -> int:
    """Count the projects and sources that a run left out: failures, and blocked months."""
    parts = [result, *result.get("projects", {}).values()]
    return len(errors) + sum(len(part.get("blocked") or ()) for part in parts)


def label(state: str, result: Mapping[str, Any] | None, errors: Sequence[Any] | None) -> str:
    """Return a run's state in words: `succeeded, 2 left out`."""
    missing = left_out(result or {}, errors or ())
    if state in ("succeeded", "partial"):
        return f"succeeded, {missing} left out" if missing else "succeeded"
    return f"{state}, {missing} left out" if missing else state


def _line(error: Mapping[str, Any]) -> str:
    project = error.get("project_id")
    return (f"  project {project}: " if project else "  ") + str(error["error"])
