"""How a run ended, for people, programs and exit codes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LISTED = 20  # failures named one by one


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `exit_code` 0: done or nothing to do; 1: failed."""

    run_id: int
    job: str
    period: str
    state: str
    result: dict[str, Any] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Outcome":
        """Return the outcome of a run, given as its row of `job_runs`."""
        result, errors = row["result"] or {}, list(row["errors"] or [])
        return cls(row["id"], row["job"], row["period"], row["state"], result, errors)

    @property
    def exit_code(self) -> int:
        return 0 if self.state == "succeeded" else 1

    @property
    def sentence(self) -> str:
        """What happened, on one line and, for failures, a line each."""
        done = ", ".join(f"{name} {value}" for name, value in self.result.items() if name != "preview")
        head = f"{self.job} {self.period} {self.state}"
        if self.errors:
            head += f" with {len(self.errors)} failure" + "s" * (len(self.errors) > 1)
        head += f": {done}" if done else ""
        return "\n".join([head, *map(_line, self.errors[:LISTED])])


def _line(error: Mapping[str, Any]) -> str:
    project = error.get("project_id")
    return (f"  project {project}: " if project else "  ") + str(error["error"])
