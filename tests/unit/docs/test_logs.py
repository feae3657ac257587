"""Every event of the log has one form, and docs/logs.md names it."""

import ast
import re
from collections import defaultdict

from tests.support.source_files import ROOT, source_files

LEVELS = {"debug", "info", "warning", "error", "critical"}
FORM = re.compile(r"[a-z]+(_[a-z]+)*\.([a-z]+ed|lost)")
ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \|", re.MULTILINE)


def levels(function: ast.expr) -> set[str]:
    """Return the levels of a call like `LOG.info`; empty for a call that does not log."""
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "LOG"
        and node.attr in LEVELS
    }


def events() -> dict[object, set[str]]:
    """Return the levels of each event in the source, by what stands for its name there."""
    result: dict[object, set[str]] = defaultdict(set)
    for path in source_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and levels(node.func):
                result[ast.literal_eval(node.args[0])] |= levels(node.func)
    return result


def test_an_event_is_a_noun_and_a_verb_in_the_past() -> None:
    assert [event for event in events() if not FORM.fullmatch(str(event))] == []


def test_the_page_names_every_event_and_its_levels() -> None:
    rows = ROW.findall((ROOT / "docs" / "logs.md").read_text(encoding="utf-8"))
    assert {event: set(written.split(", ")) for event, written in rows} == events()
    assert [event for event, _ in rows] == sorted(event for event, _ in rows)


def test_every_logger_is_called_log() -> None:
    """Or the tests above would not see its events."""
    loggers = {
        line.partition("=")[0].strip()
        for path in source_files()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "structlog.get_logger" in line
    }
    assert loggers == {"LOG"}
