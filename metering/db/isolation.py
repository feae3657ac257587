"""Keep the failure of one project in PostgreSQL from stopping the others."""

from collections.abc import Callable, Sequence

from sqlalchemy.exc import DBAPIError

from metering.db.engine import is_away, is_passing


def isolate(
    ids: Sequence[int], work: Callable[[list[int]], None], refused: Callable[[int, DBAPIError], None]
) -> None:
    """Do `work` for all of `ids`; where PostgreSQL refuses, for halves of them.

    `work` is one transaction of its own. Ids for which it is refused alone are passed to `refused`.
    Raises DBAPIError when PostgreSQL is away, or when the same statement may succeed later.
    """
    if not ids:
        return
    try:
        work(list(ids))
    except DBAPIError as error:
        if is_away(error) or is_passing(error):
            raise
        if len(ids) == 1:
            refused(ids[0], error)
            return
        half = len(ids) // 2
        isolate(ids[:half], work, refused)
        isolate(ids[half:], work, refused)
