"""Which module writes which table, read from the SQL in the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from metering.db.tables import OWN_TABLES, PLATFORM_TABLES

ROOT = Path(__file__).parents[2]
PACKAGES = ("metering", "collectors", "jobs", "console", "api", "fleetmeter")
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
    """Return the modules that write each table: `metering/ledger/mqtt.py`, by table name."""
    modules = defaultdict(set)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = str(path.relative_to(ROOT))
            if not module.startswith(LEFT_OUT):
                for table in written(path, module):
                    modules[table].add(module)
    return dict(modules)


def folder(module: str) -> str:
    """Return the folder that answers for a module: `metering/ledger` or `collectors/mqtt`, else `jobs`."""
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
    """Yield every string of a module but docstrings, with `{expression}` where values are filled in."""
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
