"""The guard against formulas: at any separator, and it can always be taken away again."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.exports.csv_format import SEPARATORS
from metering.exports.csv_guard import guard, remove_guard

ALPHABET = "=+-@＝＋－＠\t\r\n,;|\"'a é"


@given(st.text(ALPHABET, max_size=12))
def test_the_guard_is_taken_away_again(text: str) -> None:
    assert remove_guard(guard(text)) == text


@given(st.text(ALPHABET, max_size=12))
def test_no_piece_between_separators_begins_like_a_formula(text: str) -> None:
    for piece in re.split("[,;\t|\r\n]", guard(text)):
        assert not re.match("[\"']*[=+\\-@＝＋－＠]", piece) or re.match("[\"']*'[=+\\-@＝＋－＠]", piece)


@pytest.mark.parametrize("separator", SEPARATORS.values())
def test_a_formula_after_another_separator_is_guarded(separator: str) -> None:
    assert guard(f"x{separator}=1+1") == f"x{separator}'=1+1"
    assert guard(f'x";"{separator}"=1+1') == f'x";"{separator}"\'=1+1'


def test_an_ordinary_text_stays_as_it_is() -> None:
    for text in ("Zürich - west", "a@b.example", "1-2", "it's 7; that's all", ""):
        assert guard(text) == text
