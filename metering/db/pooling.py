"""Tell a connection pooler in transaction mode, which loses session settings and locks."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Timeout

from sqlalchemy import Connection, Engine, event, text

from metering.errors import DatabaseRefused

PATIENCE = 5.0  # seconds; a pool of one server connection answers the second client never

_BACKEND = text("SELECT pg_backend_pid()")


def check_at_first_use(engine: Engine) -> None:
    """Let `engine` refuse transaction pooling when it is first used, and again until that succeeds."""
    checks: list[Engine] = []  # the check that runs or has succeeded

    def check(_: Connection) -> None:
        if checks:
            return
        checks.append(engine)
        try:
            refuse_transaction_pooling(engine)
        except BaseException:
            checks.clear()
            raise

    event.listen(engine, "engine_connect", check)


def refuse_transaction_pooling(engine: Engine) -> None:
    """Raise DatabaseRefused unless a client keeps its server process between transactions.

    While a second connection holds a transaction open, the first one asks again which process serves it. An
    idle pool in transaction mode would otherwise give it the same one each time.
    """
    with engine.connect() as first, engine.connect() as second:
        before = _backend(first)
        second.scalar(_BACKEND)  # begins a transaction, which holds whatever process was free
        with ThreadPoolExecutor(1) as pool:
            answer = pool.submit(_backend, first)
            try:
                after = answer.result(PATIENCE)
            except Timeout:
                after = None
            finally:
                second.rollback()
    if before != after:
        raise DatabaseRefused(
            f"a connection pooler in transaction mode stands before the database {engine.url.database}: it "
            "loses session settings and locks, and numbers would be wrong; use session mode "
            "(PgBouncer: pool_mode = session), or connect to PostgreSQL directly"
        )


def _backend(connection: Connection) -> int | None:
    process: int | None = connection.scalar(_BACKEND)
    connection.rollback()
    return process
