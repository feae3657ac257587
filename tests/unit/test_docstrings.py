"""Docstrings of functions begin with a verb: they say what the function does."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.source_files import PRODUCT, ROOT, source_files

FOLDERS = (*PRODUCT, "migrations", "tests/support")
# A description, a question or a list begins with such a word; a docstring begins with Return, Yield, Read.
NOT_VERBS = frozenset(
    """
    A Again All An Another Any As At Both By Each Every Everything False For From Here How If In It Its Like
    Nobody No None Nothing Numbers Of On One Only Or Same Somebody Something Such That The Their Then There
    These They This Those To True Until What Whatever When Where Whether Which Who Whoever Whose Why With
    Without
    """.split()  # noqa: SIM905 - sixty quoted words would be harder to read
)


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the place and the docstring of every function and property in FOLDERS."""
    for path in source_files(*FOLDERS):
        if path.parent == ROOT / "migrations" / "versions":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and (text := ast.get_docstring(node)):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", text


def begins_with_a_verb(text: str) -> bool:
    """Return whether the first word of a docstring can be a verb."""
    word = text.split()[0].rstrip(",:;.")
    return word.isalpha() and word[0].isupper() and word not in NOT_VERBS


def test_docstrings_of_functions_begin_with_a_verb() -> None:
    assert [f"{place}: {text}" for place, text in docstrings() if not begins_with_a_verb(text)] == []


@pytest.mark.parametrize(
    ("text", "is_verb"),
    [
        ("Return the unit.", True),
        ("The unit.", False),
        ("Whether it is open.", False),
        ("`day` as text.", False),
        ("Meter's unit.", False),
    ],
)
def test_a_first_word_is_told_from_a_verb(text: str, is_verb: bool) -> None:
    assert begins_with_a_verb(text) is is_verb
