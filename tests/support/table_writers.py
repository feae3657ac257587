"""The modules that write each table, read from the SQL in the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from metering.db.tables import OWN_TABLES, PLATFORM_TABLES
from tests.support.source_files import ROOT, source_files

TABLES = {*OWN_TABLES, *PLATFORM_TABLES}

WRITES = re.compile(
    r"\b(?:INSERT INTO|DELETE FROM|MERGE INTO|TRUNCATE(?: TABLE)?|DROP TABLE(?: IF EXISTS)?"
    r"|(?<!FOR )(?<!DO )UPDATE(?: ONLY)?)\s+(\{[^}]*\}|\w+)",
)
# A table whose name the code fills in; the expression as it stands there.
FILLED_IN = {
    ("metering/archive/restore.py", "table"): ("daily_stats", "monthly_stats"),
    ("metering/archive/retention.py", "table.name"): ("daily_stats", "usage_hourly"),
    ("metering/archive/retention.py", "_partition(table, month)"): ("daily_stats", "usage_hourly"),
    ("metering/archive/retention.py", "table"): ("alerts", "job_runs"),
}
# They play the platform, and write its history into a database of their own.
LEFT_OUT = ("fleetmeter/demo/", "fleetmeter/drill/")


def writers() -> dict[str, set[str]]:
    """Return the modules that write each table, by its name.

    A module is a path, such as `metering/ledger/mqtt.py`.
    """
    modules = defaultdict(set)
    for path in source_files():
        module = str(path.relative_to(ROOT))
        if not module.startswith(LEFT_OUT):
            for table in written(path, module):
                modules[table].add(module)
    return dict(modules)


def folder(module: str) -> str:
    """Return the folder of a module that the pages name.

    In `metering` and `collectors` it is a folder of the second level, such as `metering/ledger`; elsewhere it
    is the package, such as `jobs`.
    """
    parts = module.split("/")
    deep = parts[0] in ("metering", "collectors")
    return "/".join(parts[: 2 if deep and len(parts) > 2 else 1])


def written(path: Path, module: str) -> Iterator[str]:
    """Yield the tables that the SQL of one file writes."""
    for sql in strings(ast.parse(path.read_text(encoding="utf-8"))):
        for target in WRITES.findall(sql):
            if target.startswith("{"):
                where = (module, target.strip("{}"))
                assert where in FILLED_IN, f"{where}: say in FILLED_IN which tables this writes"
                yield from FILLED_IN[where]
            elif target in TABLES:
                yield target


def strings(tree: ast.AST) -> Iterator[str]:
    """Yield every string of a module.

    A value that is filled in is written as `{expression}`.
    """
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value)
                if isinstance(part, ast.Constant)
                else "{" + ast.unparse(part.value).replace("{", "").replace("}", "") + "}"
                for part in node.values
                if isinstance(part, ast.Constant | ast.FormattedValue)
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner:
            yield node.value
