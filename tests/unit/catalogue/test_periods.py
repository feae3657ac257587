"""Periods are half-open, in UTC, and refuse what names no instant."""

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.catalogue.periods import Day, Hour, Month, days, parse_instant, utc
from metering.errors import PeriodError

instants = st.datetimes(
    min_value=datetime(1971, 1, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))]
    ),
)


@given(instants)
def test_every_instant_is_in_exactly_one_hour_day_and_month(at: datetime) -> None:
    for period in (Hour.of(at), Day.of(at), Month.of(at)):
        assert period.start <= at < period.end


@given(instants)
def test_neighbouring_periods_touch(at: datetime) -> None:
    day, month = Day.of(at), Month.of(at)
    assert day.end == day.next().start
    assert day.previous().end == day.start
    assert month.end == month.next().start
    assert month.previous().next() == month


@given(instants)
def test_a_month_is_its_days(at: datetime) -> None:
    month = Month.of(at)
    listed = list(month.days())
    assert listed[0].start == month.start
    assert listed[-1].end == month.end
    assert all(one.end == other.start for one, other in pairwise(listed))


@given(instants)
def test_what_is_printed_is_read_back(at: datetime) -> None:
    assert Day.parse(str(Day.of(at))) == Day.of(at)
    assert Month.parse(str(Month.of(at))) == Month.of(at)


def test_no_days_when_the_last_is_before_the_first() -> None:
    assert list(days(Day.parse("2026-11-02"), Day.parse("2026-11-01"))) == []


def test_a_naive_datetime_is_refused() -> None:
    with pytest.raises(PeriodError, match="no time zone"):
        utc(datetime(2026, 11, 24))  # noqa: DTZ001 - naive on purpose


@pytest.mark.parametrize(
    "text", ["2026-13", "2026-00", "0000-01", "26-11", "2026-1", "2026-11-01", "", "٢٠٢٦-١١"]
)
def test_a_month_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match="is not a month"):
        Month.parse(text)


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday", "20261124", "2026-W48-2", ""])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PeriodError, match="is not a day"):
        Day.parse(text)


@pytest.mark.parametrize(
    ("text", "hour"), [("2026-11-24T05:00Z", 5), ("2026-11-24T05:00", 5), ("2026-11-24T05:00+02:00", 3)]
)
def test_an_instant_without_a_zone_is_utc(text: str, hour: int) -> None:
    assert parse_instant(text) == datetime(2026, 11, 24, hour, tzinfo=UTC)


def test_the_bounds_of_a_month_are_parameters_of_a_statement() -> None:
    assert Month(2026, 12).bounds() == {
        "year": 2026,
        "month": 12,
        "start": datetime(2026, 12, 1, tzinfo=UTC),
        "end": datetime(2027, 1, 1, tzinfo=UTC),
        "first": date(2026, 12, 1),
        "last": date(2026, 12, 31),
    }
