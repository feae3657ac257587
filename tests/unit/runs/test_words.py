"""A run's result in words."""

from typing import Any

import pytest

from metering.runs import words


@pytest.mark.parametrize(
    ("result", "words_of_result"),
    [
        ({"days_sealed": 3, "from": "2026-11-18", "to": "2026-11-20", "already_sealed": {}}, "3 days sealed"),
        (
            {"already_sealed": {"2026-11-18": 22, "2026-11-19": 22, "2026-11-20": 22}},
            "sealed already: 18–20 Nov, 22 projects",
        ),
        ({"already_sealed": {"2026-11-18": 22, "2026-11-20": 1}}, "sealed already: 18 Nov (22), 20 Nov (1)"),
        ({"sources": {"s3": "s3: 22 projects measured"}}, "S3: 22 projects measured"),
        (
            {"closed": 24, "months": ["2026-10"], "blocked": {"7": "gap 1"}},
            "24 bills closed; 1 project blocked",
        ),
        ({"late_rows": {"days": 0, "adjustments": 0}, "days_sealed": 0}, "0 days sealed"),
        ({"projects": {"7": {"days_sealed": 1}}}, "project 7: 1 day sealed"),
        ({"odd_thing": {"a": 1000}, "sources": 3}, "odd thing a 1,000; sources 3"),
        ({}, ""),
    ],
)
def test_a_result_is_said_in_words(result: dict[str, Any], words_of_result: str) -> None:
    assert words.describe(result).startswith(words_of_result)


def test_a_preview_says_what_would_be_done() -> None:
    assert (
        words.describe({"dry_run": True, "preview": {}, "days_sealed": 3}, preview=True)
        == "would seal 3 days"
    )
