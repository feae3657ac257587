"""The catalogue of meters: every counter and gauge with its unit and source. Columns derive from it.

A counter is summed over a period. A gauge is a level, sampled; NULL means never sampled.
"""

from dataclasses import dataclass
from typing import Literal

from metering.catalogue.sources import SourceName

Unit = Literal["count", "bytes"]


@dataclass(frozen=True)
class Counter:
    """A quantity that adds up over a period.

    `name` is its column in every table; `since` is its first form (see `forms`).
    """

    name: str
    unit: Unit
    source: SourceName
    label: str
    since: int


@dataclass(frozen=True)
class Gauge:
    """A sampled level: `name` in hours, days and as `peak_<name>` in months; `live` in project_stats.

    `source` is None for `storage_bytes`, the sum of STORAGE_PARTS. `since` is its first form (see `forms`).
    """

    name: str
    live: str
    unit: Unit
    source: SourceName | None
    label: str
    since: int


COUNTERS: tuple[Counter, ...] = (
    Counter("logs", "count", "platform_db", "Log entries", since=1),
    Counter("sessions", "count", "platform_db", "Sessions", since=1),
    Counter("mqtt_inbound", "count", "mqtt", "MQTT messages in", since=1),
    Counter("mqtt_outbound", "count", "mqtt", "MQTT messages out", since=1),
    Counter("mqtt_inbound_bytes", "bytes", "mqtt", "MQTT payload in", since=1),
    Counter("mqtt_outbound_bytes", "bytes", "mqtt", "MQTT payload out", since=1),
    Counter("api_calls", "count", "platform_db", "API calls", since=1),
    Counter("deployments", "count", "platform_db", "Deployments", since=1),
    Counter("docker_upload_bytes", "bytes", "platform_db", "Docker upload", since=1),
    Counter("docker_download_bytes", "bytes", "platform_db", "Docker download", since=1),
    Counter("data_transfer_bytes", "bytes", "platform_db", "Data transfer", since=1),
)

GAUGES: tuple[Gauge, ...] = (
    Gauge("s3_storage_bytes", "total_s3_storage_bytes", "bytes", "s3", "S3 storage", since=1),
    Gauge("docker_storage_bytes", "total_docker_storage_bytes", "bytes", "ecr", "Docker storage", since=1),
    Gauge("logs_storage_bytes", "total_logs_storage_bytes", "bytes", "platform_db", "Log storage", since=1),
    Gauge("storage_bytes", "total_storage_bytes", "bytes", None, "Storage", since=1),
    Gauge("device_count", "total_devices", "count", "platform_db", "Devices", since=1),
    Gauge("active_device_count", "active_devices", "count", "platform_db", "Active devices", since=1),
    Gauge("ecr_image_count", "current_ecr_images", "count", "ecr", "Container images", since=1),
)

STORAGE_PARTS = ("s3_storage_bytes", "docker_storage_bytes", "logs_storage_bytes")

COUNTER_NAMES = tuple(counter.name for counter in COUNTERS)
GAUGE_NAMES = tuple(gauge.name for gauge in GAUGES)
SAMPLED_GAUGES = tuple(gauge for gauge in GAUGES if gauge.source)
METERS: dict[str, Counter | Gauge] = {
    **{counter.name: counter for counter in COUNTERS},
    **{gauge.name: gauge for gauge in GAUGES},
}


MESSAGE_COUNTERS = ("mqtt_inbound", "mqtt_outbound")


def counters_of(source: SourceName) -> tuple[str, ...]:
    """Return the names of the counters that `source` measures."""
    return tuple(counter.name for counter in COUNTERS if counter.source == source)


def gauges_of(source: SourceName) -> tuple[Gauge, ...]:
    """Return the gauges that `source` samples."""
    return tuple(gauge for gauge in GAUGES if gauge.source == source)


def source_of(counter: str) -> SourceName:
    """Return the source that measures the counter of that name."""
    return next(one.source for one in COUNTERS if one.name == counter)


def sources_of(gauge: Gauge) -> tuple[SourceName, ...]:
    """Return the sources that sample `gauge`; of the sum of STORAGE_PARTS, those of its parts."""
    if gauge.source:
        return (gauge.source,)
    parts = (part.source for part in GAUGES if part.name in STORAGE_PARTS and part.source)
    return tuple(dict.fromkeys(parts))


def columns(template: str, names: tuple[str, ...] = COUNTER_NAMES, joiner: str = ", ") -> str:
    """Return SQL: `template` with `{0}` replaced by each of `names`, which are of the catalogue."""
    return joiner.join(template.format(name) for name in names)


def messages_sql(prefix: str = "") -> str:
    """Return SQL of the MQTT messages of a row, both directions; `prefix` stands before each column."""
    return columns(f"{prefix}{{0}}", MESSAGE_COUNTERS, " + ")


def is_zero(source: SourceName, row: str) -> str:
    """Return SQL that is true where all meters of `source` are 0 or NULL in `row`.

    A source of counters is judged by its counters alone, also where it samples levels too.
    """
    names = counters_of(source) or tuple(gauge.name for gauge in gauges_of(source))
    return columns(f"coalesce({row}.{{0}}, 0) = 0", names, " AND ")


def label_of(meter: str) -> str:
    """Return a meter's label; its name if the catalogue lacks it."""
    return METERS[meter].label if meter in METERS else meter.replace("_", " ")


def unit_of(meter: str) -> Unit:
    """Return a meter's unit; `count` if the catalogue lacks the meter."""
    return METERS[meter].unit if meter in METERS else "count"
