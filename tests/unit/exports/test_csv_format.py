"""CSV cells: nothing is executed by a spreadsheet, and everything reads back as it was."""

import csv
import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.errors import FleetmeterError
from metering.exports import csv_format
from metering.exports.csv_format import Style

HOSTILE = ("=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "\n=1", "＝1", "'=1")


def written(*cells: object, style: Style = csv_format.PLAIN) -> str:
    stream = io.StringIO()
    csv_format.write([cells], [f"c{n}" for n in range(len(cells))], stream, style)
    return stream.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_no_cell_begins_like_a_formula(name: str) -> None:
    _, (cell,) = csv.reader(io.StringIO(written(name), newline=""))
    assert cell.startswith("'")


@given(
    st.lists(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")), min_size=2).filter(
        any
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.booleans(),
)
def test_every_text_reads_back_as_it_was(texts: list[str], separator: str, bom: bool) -> None:
    stream = io.StringIO(written(*texts, style=Style(separator, bom=bom)), newline="")
    (row,) = csv_format.read(stream)
    assert list(row.values()) == texts


def test_numbers_are_plain_and_instants_are_utc() -> None:
    cells = (
        -5,
        Decimal("-1E+2"),
        Decimal("0.50"),
        None,
        date(2026, 1, 2),
        datetime(2026, 1, 2, 3, tzinfo=UTC),
    )
    assert written(*cells).splitlines()[1] == "-5,-100,0.50,,2026-01-02,2026-01-02T03:00:00Z"


def test_a_spreadsheet_of_another_locale_is_served() -> None:
    content = written(Decimal("0.50"), "Zürich", style=Style.of(";", ",", bom=True))
    assert content == '\ufeffc0;c1\n0,50;"Zürich"\n'


@pytest.mark.parametrize(("separator", "decimal"), [(",", ","), (":", "."), (";", "'")])
def test_a_style_that_no_spreadsheet_reads_is_refused(separator: str, decimal: str) -> None:
    with pytest.raises(FleetmeterError, match="takes"):
        Style.of(separator, decimal)
