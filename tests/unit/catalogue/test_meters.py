"""The catalogue and the tables say the same."""

from metering.catalogue.meters import COUNTER_NAMES, GAUGE_NAMES, GAUGES, METERS, STORAGE_PARTS, sources_of
from metering.catalogue.sources import SOURCE_NAMES
from metering.db.tables import OWN_TABLES


def test_every_counter_has_its_column_everywhere() -> None:
    for table in ("usage_hourly", "project_stats", "daily_stats", "monthly_stats"):
        assert set(COUNTER_NAMES) <= set(OWN_TABLES[table].columns.keys())
    lifetime = {f"lifetime_{name}" for name in COUNTER_NAMES}
    assert lifetime <= set(OWN_TABLES["project_stats"].columns.keys())


def test_every_gauge_has_its_level_and_its_peak() -> None:
    assert set(GAUGE_NAMES) <= set(OWN_TABLES["daily_stats"].columns.keys())
    assert {f"peak_{name}" for name in GAUGE_NAMES} <= set(OWN_TABLES["monthly_stats"].columns.keys())
    assert {gauge.live for gauge in GAUGES} <= set(OWN_TABLES["project_stats"].columns.keys())


def test_every_meter_has_a_source_of_the_catalogue() -> None:
    assert {meter.source for meter in METERS.values()} == {*SOURCE_NAMES, None}


def test_a_sum_of_levels_is_as_old_as_the_oldest_source_of_its_parts() -> None:
    sources = {gauge.name: sources_of(gauge) for gauge in GAUGES}
    assert set(sources["storage_bytes"]) == {METERS[part].source for part in STORAGE_PARTS}
    assert all(sources[name] == (METERS[name].source,) for name in STORAGE_PARTS)
