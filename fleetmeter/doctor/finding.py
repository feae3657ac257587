"""The result of one check."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One check: what was checked, its result, and what to do unless it is `ok`."""

    checked: str
    ok: bool
    result: str
    advice: str = ""
