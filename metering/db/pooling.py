"""Tell a connection pooler in transaction or statement mode, which loses session settings and locks."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from concurrent.futures import TimeoutError as Timeout
from typing import Any

from sqlalchemy import Engine, event

from metering.errors import DatabaseRefused, DatabaseUnavailable

PATIENCE = 5  # seconds; a pool of one server connection answers the second client never

_BACKEND = "SELECT pg_backend_pid()"


def check_at_first_use(engine: Engine) -> None:
    """Let `engine` refuse such pooling when it first connects, and again until that succeeds.

    Other threads that connect meanwhile wait for the outcome.
    """
    lock, passed = threading.Lock(), threading.Event()

    def check(driver: Any, _: object) -> None:
        if passed.is_set():
            return
        with lock:
            if not passed.is_set():
                _refuse_statement_pooling(engine, driver)
                _refuse_transaction_pooling(engine, driver)
                passed.set()

    event.listen(engine, "connect", check, insert=True)  # before SQLAlchemy begins a transaction


def _refuse_statement_pooling(engine: Engine, driver: Any) -> None:
    """Raise DatabaseRefused if a statement is answered, and then none in a transaction."""
    driver.autocommit = True
    with driver.cursor() as cursor:
        cursor.execute(_BACKEND)
    driver.autocommit = False
    try:
        _backend(driver)
    except driver.Error as error:
        raise _refusal(engine, "statement") from error


def _refuse_transaction_pooling(engine: Engine, first: Any) -> None:
    """Raise DatabaseRefused unless a client keeps its server process between transactions.

    While a second connection holds a transaction open, the first one asks again which process serves it. An
    idle pool in transaction mode would otherwise give it the same one each time.
    """
    before = _backend(first)
    with ThreadPoolExecutor(1) as pool:
        second = _within_patience(engine, first, pool.submit(_holding, engine))
        answer = pool.submit(_backend, first)
        try:
            after = answer.result(PATIENCE)
        except Timeout:
            after = None
        finally:
            second.close()
            wait([answer])
    if before != after:
        raise _refusal(engine, "transaction")


def _within_patience(engine: Engine, first: Any, opening: "Future[Any]") -> Any:
    """Return the second connection. Raises DatabaseUnavailable if there is none within PATIENCE."""
    try:
        return opening.result(PATIENCE)
    except Timeout:
        first.close()  # the second one gets its place, and the thread ends
        opening.add_done_callback(lambda late: None if late.exception() else late.result().close())
        raise DatabaseUnavailable(
            f"the database {engine.url.database} gave this process no second connection within {PATIENCE} s; "
            "raise the size of the connection pooler's pool (PgBouncer: default_pool_size)"
        ) from None


def _holding(engine: Engine) -> Any:
    """Open a connection that has begun a transaction, which holds whatever server process was free."""
    positional, named = engine.dialect.create_connect_args(engine.url)
    driver: Any = engine.dialect.connect(*positional, **{**named, "connect_timeout": PATIENCE})
    with driver.cursor() as cursor:
        cursor.execute(_BACKEND)
    return driver


def _backend(driver: Any) -> int:
    with driver.cursor() as cursor:
        cursor.execute(_BACKEND)
        process: int = cursor.fetchone()[0]
    driver.rollback()
    return process


def _refusal(engine: Engine, mode: str) -> DatabaseRefused:
    return DatabaseRefused(
        f"a connection pooler in {mode} mode stands before the database {engine.url.database}: it "
        "loses session settings and locks, and numbers would be wrong; use session mode "
        "(PgBouncer: pool_mode = session), or connect to PostgreSQL directly"
    )
