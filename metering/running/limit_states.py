"""The state of a limit: one meaning on every page, in alerts, and for the library.

ok: below 80 % · near: from 80 % · over: from 100 % · hard: from 100 % of a hard limit · unknown: never
measured, which is not zero. An alert opens at the same figures.
"""

from typing import Any, Literal

State = Literal["ok", "near", "over", "hard", "unknown"]
NEAR = 80  # percent of what is included
STATES: tuple[State, ...] = ("hard", "over", "near", "ok", "unknown")  # the worst first

# SQL of the state of `{used}` against `{included}`; `{hard}` is a boolean.
STATE = f"""CASE WHEN {{used}} IS NULL THEN 'unknown' WHEN {{used}} <= 0 THEN 'ok'
    WHEN {{used}} >= {{included}} THEN CASE WHEN {{hard}} THEN 'hard' ELSE 'over' END
    WHEN {{used}} * 100::numeric >= {{included}} * {NEAR}::numeric THEN 'near' ELSE 'ok' END"""


def state(used: int | None, included: int, hard: Any) -> State:
    """Return the state of a limit, as the SQL does."""
    if used is None:
        return "unknown"
    if used <= 0:
        return "ok"
    if used >= included:
        return "hard" if hard else "over"
    return "near" if used * 100 >= included * NEAR else "ok"
