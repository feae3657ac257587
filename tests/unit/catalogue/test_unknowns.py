"""What was never measured is unknown, in the running totals and in those of the lifetime."""

from typing import Any

from metering.catalogue import unknowns
from metering.catalogue.meters import COUNTERS


def totals(**changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"mqtt_measured_at": "10:00", "platform_db_measured_at": None}
    for counter in COUNTERS:
        made |= {counter.name: 0, f"lifetime_{counter.name}": 0}
    return made | changes


def test_totals_of_a_source_that_never_looked_are_unknown_both_running_and_ever() -> None:
    shown = unknowns.live(totals())
    for counter in COUNTERS:
        expected = 0 if counter.source == "mqtt" else None
        assert shown[counter.name] == expected
        assert shown[f"lifetime_{counter.name}"] == expected


def test_what_was_counted_is_known_whoever_looked() -> None:
    shown = unknowns.live(totals(logs=5, lifetime_api_calls=7))
    assert (shown["logs"], shown["lifetime_logs"]) == (5, None)
    assert (shown["api_calls"], shown["lifetime_api_calls"]) == (None, 7)
