"""`python -m benchmarks._timed run APP …`: Streamlit, with the time and rows of each SQL statement noted.

FLEETMETER_BENCH_STATEMENTS names the file: a JSON line for each statement.
"""

import json
import os
import time
from typing import Any

from sqlalchemy import Engine, event
from streamlit.web import cli


def _before(_c: Any, _cursor: Any, _statement: str, _p: Any, context: Any, _many: bool) -> None:
    context.began = time.perf_counter()


def _after(_c: Any, cursor: Any, statement: str, _p: Any, context: Any, _many: bool) -> None:
    seconds = time.perf_counter() - context.began
    line = {"ms": seconds * 1000, "rows": cursor.rowcount, "statement": " ".join(statement.split())}
    with open(os.environ["FLEETMETER_BENCH_STATEMENTS"], "a", encoding="utf-8") as notes:
        notes.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    event.listen(Engine, "before_cursor_execute", _before)
    event.listen(Engine, "after_cursor_execute", _after)
    cli.main(prog_name="streamlit")
