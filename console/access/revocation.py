"""Ended sign-ins, stored in PostgreSQL: no console accepts their cookies any more.

Streamlit's cookie alone would be good for another window, for a copy of it, and for another console
behind the same address.
"""

import hashlib
import json
from datetime import datetime, timedelta

import streamlit as st
from sqlalchemy import text

from console.access.identity import Claims
from console.data import database

RETENTION = timedelta(days=31)  # longer than Streamlit's cookie lives
SECONDS = 2  # until a sign-out in another console is seen here; live parts ask as often

_END = text("INSERT INTO sign_outs (mark, at) VALUES (:mark, :at) ON CONFLICT (mark) DO NOTHING")
_EXPIRE = text("DELETE FROM sign_outs WHERE at < :before")


def end(claims: Claims, at: datetime) -> None:
    """Record that the sign-in of `claims` ended at `at` (aware, UTC). Raises DatabaseUnavailable."""
    with database.unlimited() as connection:
        connection.execute(_EXPIRE, {"before": at - RETENTION})
        connection.execute(_END, {"mark": mark_of(claims), "at": at})
    ended.clear()


@st.cache_data(ttl=SECONDS, max_entries=4, show_spinner=False)
def ended(server: str) -> frozenset[str]:
    """Return the marks of ended sign-ins; `server` is part of the cache's key. Raises DatabaseUnavailable."""
    with database.unlimited() as connection:
        return frozenset(connection.execute(text("SELECT mark FROM sign_outs")).scalars())


def mark_of(claims: Claims) -> str:
    """Return the SHA-256 of the claims of a sign-in, without the tokens that Streamlit adds."""
    claims = {name: value for name, value in claims.items() if name != "tokens"}
    return hashlib.sha256(json.dumps(claims, sort_keys=True, default=str).encode()).hexdigest()
