"""The documentation is true where a test can tell: links, paths, commands, settings, methods, picture."""

import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from console.pages import TITLES
from fleetmeter import LimitService, StatsUpdaterService
from fleetmeter.cli.main import app
from metering.alerts.rules import RULES
from metering.config.settings import Settings
from metering.runs.definitions import BY_NAME
from tests.support.source_files import PRODUCT, ROOT, source_files

DOCS = ROOT / "docs"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md")]
    + [page for folder in ("collectors", "deploy", "fleetmeter") for page in (ROOT / folder).rglob("*.md")]
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FOLDERS = (*PRODUCT, "benchmarks", "deploy", "docs", "migrations", "tests")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./*-]*)`")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    words = (re.sub(r"[^\w\s-]", "", heading.replace("`", "").lower()) for heading in headings)
    return {re.sub(r"[-\s]+", "-", word.strip()) for word in words}


def commands(command: Any, prefix: str) -> Iterator[str]:
    """Yield each command that can be typed, groups resolved."""
    children = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield prefix
    for word, child in children.items():
        yield from commands(child, f"{prefix} {word}")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_path_that_a_page_names_exists(page: Path) -> None:
    named = PATH.findall(page.read_text(encoding="utf-8"))
    assert [path for path in named if not list(ROOT.glob(path.rstrip("/")))] == []


@pytest.mark.parametrize("page", sorted(DOCS.glob("howto/*.md")), ids=name)
def test_a_name_of_the_code_that_a_how_to_uses_exists(page: Path) -> None:
    words = re.findall(r"`@?([A-Za-z]\w*(?:\.\w+)?)(?:\([^`]*\))?`", page.read_text(encoding="utf-8"))
    code = " ".join(path.read_text(encoding="utf-8") for path in source_files(*FOLDERS))
    assert [word for word in words if not re.search(rf"\b{re.escape(word.rpartition('.')[2])}\b", code)] == []


def test_every_command_is_listed() -> None:
    listed = read("commands.md")
    typed = list(commands(typer.main.get_command(app), "fleetmeter"))
    assert len(typed) > 25
    assert [command for command in typed if not is_listed(command, listed)] == []


def is_listed(command: str, page: str) -> bool:
    """Tell whether the page has the command, or its group with the last word among others."""
    group, _, word = command.rpartition(" ")
    return f"`{command}" in page or bool(re.search(rf"{group} \[?(?:[^`]*\|)?{word}\b", page))


def test_every_job_is_listed() -> None:
    listed = read("jobs.md")
    assert [job for job in BY_NAME if f"`{job}`" not in listed.partition("\n## ")[0]] == []


def test_every_page_of_the_console_is_listed() -> None:
    listed = read("console.md")
    addresses = ["/" if key == "overview" else f"/{key}" for key in TITLES]
    assert [address for address in addresses if f" `{address}` |" not in listed] == []


def test_every_kind_of_alert_is_listed() -> None:
    listed = read("jobs.md")
    assert [kind for kind in (*RULES, "anomaly") if f"\n| `{kind}` |" not in listed] == []


def test_every_setting_is_listed() -> None:
    listed = read("settings.md") + read("sign-in.md")
    names = [(field.alias or key).upper() for key, field in Settings.model_fields.items()]
    shortened = re.sub(r"`(FLEETMETER(?:_OIDC)?)(_\w+)`, `(_\w+)`(?:, `(_\w+)`)?", expanded, listed)
    assert [setting for setting in names if f"`{setting}`" not in shortened] == []


def expanded(row: re.Match[str]) -> str:
    """Write out the names that a table row shortens: `FLEETMETER_ADMINS`, `_OPERATORS`."""
    first, *others = [word for word in row.groups()[1:] if word]
    return ", ".join(f"`{row[1]}{word}`" for word in (first, *others))


@pytest.mark.parametrize("service", [StatsUpdaterService, LimitService])
def test_the_library_page_lists_the_methods_with_their_arguments(service: type) -> None:
    methods = {
        f"{method}({', '.join(list(inspect.signature(function).parameters)[1:])})"
        for method, function in inspect.getmembers(service, inspect.isfunction)
        if not method.startswith("_")
    }
    section = read("library.md").partition(f"## {service.__name__}")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+\([^)]*\))`", section, re.MULTILINE)) == methods


def test_every_page_is_in_the_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = [str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")]
    assert [page for page in pages if f": {page}\n" not in navigation] == []


@pytest.mark.parametrize("source", sorted(DOCS.glob("pictures/*.toml")), ids=name)
def test_a_picture_is_drawn_from_its_source(source: Path) -> None:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "pictures" / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    picture = module.draw(source.read_text(encoding="utf-8"))
    assert source.with_suffix(".svg").read_text(encoding="utf-8") == picture, "stale: run make docs"
