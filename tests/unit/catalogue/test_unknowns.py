"""What was never measured is unknown, in the running totals and in those of the lifetime."""

from typing import Any

from metering.catalogue import unknowns
from metering.catalogue.meters import COUNTERS


def totals(**changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"mqtt_measured_at": "10:00", "platform_db_measured_at": None}
    for counter in COUNTERS:
        row |= {counter.name: 0, f"lifetime_{counter.name}": 0}
    return row | changes


def test_totals_of_a_source_that_never_looked_are_unknown_both_running_and_ever() -> None:
    row = unknowns.live(totals())
    for counter in COUNTERS:
        expected = 0 if counter.source == "mqtt" else None
        assert row[counter.name] == expected
        assert row[f"lifetime_{counter.name}"] == expected


def test_what_was_counted_is_known_whoever_looked() -> None:
    row = unknowns.live(totals(logs=5, lifetime_api_calls=7))
    assert (row["logs"], row["lifetime_logs"]) == (5, None)
    assert (row["api_calls"], row["lifetime_api_calls"]) == (None, 7)
