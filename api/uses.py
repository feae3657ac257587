"""Note when a token was last used: at most once a minute, by a thread of its own, in no answer's way."""

import threading
from datetime import datetime

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from metering.db import scope as row_security
from metering.db import tokens
from metering.db.callers import Caller
from metering.db.tokens import USED_AGAIN
from metering.db.transactions import transaction
from metering.errors import FleetmeterError

LOG = structlog.get_logger("api")


class Uses:
    """The last uses that this process has noted, by token id."""

    def __init__(self) -> None:
        self._noted: dict[int, datetime] = {}

    def note(self, engine: Engine, caller: Caller, at: datetime) -> None:
        """Record the use of a token at `at` (UTC), at most once a minute."""
        latest = self._noted.get(caller.id, caller.last_used_at)
        if latest is not None and at - latest < USED_AGAIN:
            return
        self._noted[caller.id] = at
        threading.Thread(target=_write, args=(engine, caller.id, at), daemon=True).start()


def _write(engine: Engine, token_id: int, at: datetime) -> None:
    try:
        with transaction(engine) as connection:
            row_security.limit(connection, None)
            tokens.note_use(connection, token_id, at)
    except (FleetmeterError, SQLAlchemyError) as error:
        LOG.warning("token_use.lost", token_id=token_id, reason=str(error))
