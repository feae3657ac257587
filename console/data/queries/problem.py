"""A problem as pages show it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from metering.alerts.incidents import Incident


@dataclass(frozen=True)
class Problem:
    """A problem: one sentence, the page to open, and its incident if it has one.

    `query` is part of that page's address. `number`: how many problems it stands for.
    """

    severity: Literal["bad", "warning"]
    sentence: str
    page: str
    incident: Incident | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    number: int = 1
