"""Imports go one way: the layout of the design, read from the code itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_files import ROOT, source_files

# package -> what it may import of ours; a package may always import itself.
ALLOWED = {
    "fleetmeter": {"api", "console", "jobs", "collectors", "metering", "migrations"},
    "api": {"jobs.queue", "metering"},
    "console": {"jobs.queue", "metering"},
    "jobs": {"collectors", "metering"},
    "collectors": {"metering"},
    "metering": set(),
    "migrations": {"metering.catalogue", "metering.config.settings", "metering.db"},
}
OURS = set(ALLOWED)

# The console's front door serves the API beside the pages; no page knows of it.
FRONT_DOOR = {
    ROOT / "console" / "app.py": {"api.app"},
    ROOT / "console" / "probes.py": {"api.latency"},
    ROOT / "console" / "access" / "edge.py": {"api.problems"},
}

# Chapters of metering in their order: each imports only those of earlier lines.
CHAPTERS = (
    {"config", "catalogue"},
    {"db"},
    {"ledger", "pricing", "exports"},
    {"days"},
    {"months"},
    {"running", "proof", "approvals", "events", "probes"},
    {"organizations"},
    {"alerts", "archive"},
    {"runs"},
)

# Modules at the root of metering, which every chapter may import.
ROOT_MODULES = ("errors", "backoff", "printable")

# third party -> where it lives.
HOMES = {
    "paho": ("collectors/mqtt", "fleetmeter/demo", "fleetmeter/drill", "benchmarks"),
    "boto3": ("collectors", "jobs/tasks/archive", "fleetmeter/demo", "benchmarks"),
    "botocore": ("collectors", "jobs/tasks/archive", "fleetmeter/demo", "benchmarks"),
    "schedule": ("jobs/runner",),
    "streamlit": ("console", "benchmarks"),
    "fastapi": ("api", "benchmarks"),
    "plotly": ("console", "benchmarks"),
    "pandas": ("console", "benchmarks"),
    "moto": ("fleetmeter/demo", "benchmarks"),
}


def modules() -> list[Path]:
    return source_files(*OURS)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(allowed + ".")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_downwards(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = ALLOWED[package] | {package} | FRONT_DOOR.get(path, set())
    ours = [name for name in imports(path) if name.split(".")[0] in OURS]
    wrong = [name for name in ours if not any(within(name, place) for place in allowed)]
    assert wrong == []


def chapters() -> list[Path]:
    return [path for path in sorted((ROOT / "metering").glob("*/")) if (path / "__init__.py").is_file()]


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.name)
def test_a_chapter_imports_only_earlier_chapters(chapter: Path) -> None:
    (place,) = (number for number, names in enumerate(CHAPTERS) if chapter.name in names)
    earlier = {chapter.name, *ROOT_MODULES}.union(*CHAPTERS[:place])
    imported = {
        name.split(".")[1]
        for path in chapter.rglob("*.py")
        for name in imports(path)
        if name.startswith("metering.")
    }
    assert imported - earlier == set()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_library_is_used_in_its_home_only(path: Path) -> None:
    where = path.relative_to(ROOT).with_suffix("").as_posix()
    foreign = [
        name
        for name in imports(path)
        for library, homes in HOMES.items()
        if within(name, library) and not any(where.startswith(home) for home in homes)
    ]
    assert foreign == []


def reached(module: str) -> set[str]:
    """Every module of ours that `module` imports, directly or not, now or later."""
    modules: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = file_of(name)
        if path is None or name in modules:
            continue
        modules.add(name)
        ours = [imported for imported in imports(path) if imported.split(".")[0] in OURS]
        waiting += [part for imported in ours for part in (imported, imported.rpartition(".")[0])]
    return modules


def file_of(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def test_the_facade_reaches_nothing_that_a_backend_may_have_itself() -> None:
    modules = reached("fleetmeter")
    assert {"fleetmeter.stats_updater", "metering.runs.execution", "collectors.sources"} < modules
    packages = {name.split(".")[0] for name in modules}
    assert packages == {"fleetmeter", "metering", "collectors"}


def test_a_revision_imports_nothing_of_ours_but_what_looks_at_the_columns_that_are_there() -> None:
    revisions = sorted((ROOT / "migrations" / "versions").glob("2*.py"))
    assert revisions
    for path in revisions:
        assert path.name >= "20251108_"
        ours = [name for name in imports(path) if name.split(".")[0] in OURS]
        assert [name for name in ours if not name.startswith("migrations.summaries")] == [], path
