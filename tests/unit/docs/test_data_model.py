"""docs/data-model.md and docs/architecture.md name the tables and their writers as the code has them."""

import re
from collections import defaultdict
from pathlib import Path

from metering.db.tables import OWN_TABLES, PLATFORM_TABLES
from tests.support.table_writers import folder, writers
from tests.unit.test_imports import CHAPTERS

DOCS = Path(__file__).parents[3] / "docs"
MODEL = (DOCS / "data-model.md").read_text(encoding="utf-8")
ARCHITECTURE = (DOCS / "architecture.md").read_text(encoding="utf-8")


def rows(page: str) -> dict[str, list[str]]:
    """Return the cells of each table row, by the code in its first cell."""
    lines = re.findall(r"^\| `([\w/]+)` \|(.*)\|$", page, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in lines}


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_table_is_listed_with_its_key() -> None:
    tables = OWN_TABLES | PLATFORM_TABLES
    keys = {name: ", ".join(column.name for column in table.primary_key) for name, table in tables.items()}
    assert {name: codes(cells[0])[0] for name, cells in rows(MODEL).items()} == keys


def test_the_modules_that_write_a_table_are_those_of_the_code() -> None:
    listed = {name: set(codes(cells[2])) for name, cells in rows(MODEL).items() if name in OWN_TABLES}
    by_triggers = {name for name, modules in listed.items() if not modules}
    assert by_triggers == {"organization_days", "tier_days", "project_months"}
    assert {name: modules for name, modules in listed.items() if modules} == writers()


def test_the_folders_that_may_write_are_those_of_the_code() -> None:
    section = ARCHITECTURE.partition("## Which module may write which table")[2].partition("\n## ")[0]
    written = defaultdict(set)
    for table, modules in writers().items():
        for module in modules:
            written[folder(module)].add(table)
    listed = {name: set(codes(cells[0])) & {*OWN_TABLES} for name, cells in rows(section).items()}
    assert listed == written


def test_the_chapters_are_in_the_order_that_imports_keep() -> None:
    section = ARCHITECTURE.partition("### The chapters of `metering/`")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| \d+ \| (.*?) \|", section, re.MULTILINE)
    existing = {path.parent.name for path in (DOCS.parent / "metering").glob("*/__init__.py")}
    order = [names & existing for names in CHAPTERS if names & existing]
    assert [set(codes(line)) for line in lines] == order
