"""Show an error instead of a traceback: one sentence, a reference, and a button to try again."""

import functools
import secrets
from collections.abc import Callable
from typing import Any

import streamlit as st
import structlog
from sqlalchemy.exc import DBAPIError

from console.data.session import is_staff
from console.ui import escape
from metering.db.engine import is_denied
from metering.errors import (
    DatabaseUnavailable,
    FleetmeterError,
    SchemaError,
    ScopeNotEnforced,
    SettingsError,
)

# Their messages are for the platform's own people: they name the database's address or role.
OPERATIONAL = (DatabaseUnavailable, SchemaError, SettingsError, ScopeNotEnforced)
LOG = structlog.get_logger("console")


def render_error(error: Exception) -> bool:
    """Show `error` as a sentence with its reference in the log; return True: it is shown."""
    reference = secrets.token_hex(4)
    LOG.error(
        "page.failed", reference=reference, exc_info=not isinstance(error, FleetmeterError), reason=str(error)
    )
    st.error(f"{escape.markdown(_sentence(error), 600)} Reference {reference}.", icon=":material/error:")
    st.button("Try again", icon=":material/refresh:", key=f"again-{reference}", on_click=st.cache_data.clear)
    return True


def _sentence(error: Exception) -> str:
    if isinstance(error, OPERATIONAL) and not is_staff():
        return "The console cannot read its database now, and nothing was changed; try again in a minute."
    if isinstance(error, FleetmeterError):
        sentence = str(error)
        return sentence[:1].upper() + sentence[1:].rstrip(".") + "."
    if isinstance(error, DBAPIError) and getattr(error.orig, "pgcode", None) == "57014":
        return "The database took too long to answer; choose a shorter range, or try again."
    if isinstance(error, DBAPIError) and is_denied(error):
        return (
            "The console's database role may not do this, and nothing was changed; ask who runs Fleetmeter."
        )
    return "This page could not be shown, and nothing was changed; the server's log says why."


def guarded(part: Callable[..., None]) -> Callable[..., None]:
    """Return `part` of a page such that an error in it is shown in its place."""

    @functools.wraps(part)
    def wrapper(*arguments: Any, **options: Any) -> None:
        try:
            part(*arguments, **options)
        except Exception as error:  # the page's edge: whatever it is, people get a sentence
            render_error(error)

    return wrapper


def optional(part: Callable[..., None]) -> Callable[..., None]:
    """Return `part`, which shows one line in its place while the database is away.

    For parts without which the page still answers. Other errors are shown as in `guarded`.
    """

    @functools.wraps(part)
    def wrapper(*arguments: Any, **options: Any) -> None:
        try:
            part(*arguments, **options)
        except DatabaseUnavailable:
            st.caption("Not read now: the database does not answer.")

    return guarded(wrapper)
