"""Charts and tables without a library: round scales, unknown days without a bar, names that stay names."""

import pytest
from streamlit.testing.v1 import AppTest

from console.ui import bars


def _html(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


@pytest.mark.parametrize(
    ("highest", "levels"),
    [
        (0, [0, 1]),
        (3, [0, 1, 2, 3]),
        (7, [0, 2, 4, 6, 8]),
        (50, [0, 10, 20, 30, 40, 50]),
        (51, [0, 20, 40, 60]),
        (2_800_000_000, [0, 10**9, 2 * 10**9, 3 * 10**9]),
    ],
)
def test_a_scale_is_round_and_reaches_the_highest(highest: int, levels: list[int]) -> None:
    assert bars.scale(highest) == levels


def test_a_bar_is_as_high_as_its_share_and_an_unknown_day_has_none() -> None:
    def script() -> None:
        from datetime import date

        from console.ui import bars

        rows = [
            {"date": date(2026, 11, 1), "inbound": 10, "outbound": 30},
            {"date": date(2026, 11, 2), "inbound": None, "outbound": None},
        ]
        bars.days(rows, {"inbound": "In", "outbound": "Out"}, "a 'chart'")

    page = AppTest.from_function(script).run()
    shown = _html(page)
    assert "height:25.00%" in shown
    assert "height:75.00%" in shown
    assert "title='2026-11-02: In unknown; Out unknown'" in shown
    assert "aria-label='a &#x27;chart&#x27;'" in shown


def test_a_name_in_a_listing_stays_a_name() -> None:
    def script() -> None:
        from console.ui import listing
        from console.ui.table import Column

        columns = Column("name", "Name", "name"), Column("size", "Size", "bytes"), Column("n", "N", "count")
        listing.render([{"name": "<img src=x>", "size": None, "n": 1234}], columns, "a list")

    shown = _html(AppTest.from_function(script).run())
    assert "<img" not in shown
    assert "&lt;img src=x&gt;" in shown
    assert "unknown" in shown
    assert ">1,234<" in shown
