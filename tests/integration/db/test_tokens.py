"""Tokens of the API: what a name may be."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from metering.db import callers, tokens
from metering.db.transactions import transaction
from metering.errors import TokenRefused

AT = datetime(2026, 11, 27, 10, tzinfo=UTC)


def create(engine: Engine, name: str, at: datetime = AT) -> int:
    with transaction(engine) as connection:
        token = callers.parse(tokens.create(connection, name, "viewer", None, 1, "tests", at))
    assert token is not None
    return token.id


def test_two_active_tokens_have_two_names(engine: Engine) -> None:
    first = create(engine, "portal")
    create(engine, "acme")
    with pytest.raises(TokenRefused, match=f"token {first} is called 'portal' and is active"):
        create(engine, "portal")
    again = create(engine, "portal", AT + timedelta(days=2))  # the first has expired
    with transaction(engine) as connection:
        tokens.revoke(connection, again, "tests", AT + timedelta(days=2))
    create(engine, "portal", AT + timedelta(days=2))
