"""Sign-ins that were ended: Streamlit's cookie alone would be good for another window, or a copy of it.

Kept in this process' memory: another console process, or this one after a restart, knows them no more, and
believes the cookie as long as its token lasts.
"""

import hashlib
import json
from datetime import datetime, timedelta

from console.access.identity import Claims

KEPT = timedelta(days=31)  # longer than Streamlit's cookie
_ENDED: dict[str, datetime] = {}


def end(claims: Claims, at: datetime) -> None:
    """Believe these claims no more, from `at` (aware, UTC) on."""
    for mark in [mark for mark, since in _ENDED.items() if at - since > KEPT]:
        _ENDED.pop(mark, None)
    _ENDED[_mark(claims)] = at


def ended(claims: Claims) -> bool:
    """Whether somebody signed out of the sign-in that made these claims."""
    return bool(_ENDED) and _mark(claims) in _ENDED


def _mark(claims: Claims) -> str:
    return hashlib.sha256(json.dumps(claims, sort_keys=True, default=str).encode()).hexdigest()
