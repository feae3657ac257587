"""The catalogue: every counter and gauge with its unit and source. Columns derive from it.

A counter is summed over a period. A gauge is a level, sampled; NULL means never sampled.
A source is what is measured at one time: it is either read whole or it is blind.
"""

from dataclasses import dataclass
from typing import Literal

Source = Literal["mqtt", "platform_db", "s3", "ecr"]
Unit = Literal["count", "bytes"]

SOURCES: tuple[Source, ...] = ("mqtt", "platform_db", "s3", "ecr")
COUNTER_SOURCES: tuple[Source, ...] = ("mqtt", "platform_db")


@dataclass(frozen=True)
class Counter:
    """A sum of events: `name` is its column everywhere; `since` is its first form (see `forms`)."""

    name: str
    unit: Unit
    source: Source
    label: str
    since: int


@dataclass(frozen=True)
class Gauge:
    """A sampled level: `name` in hours, days and as `peak_<name>` in months; `live` in project_stats.

    `source` is None for a gauge that is the sum of the others. `since` is its first form (see `forms`).
    """

    name: str
    live: str
    unit: Unit
    source: Source | None
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


def counters_of(source: Source) -> tuple[str, ...]:
    """Names of the counters that `source` measures."""
    return tuple(counter.name for counter in COUNTERS if counter.source == source)


def gauges_of(source: Source) -> tuple[Gauge, ...]:
    """Gauges that `source` samples."""
    return tuple(gauge for gauge in GAUGES if gauge.source == source)


def columns(template: str, names: tuple[str, ...] = COUNTER_NAMES, joiner: str = ", ") -> str:
    """SQL made by filling `{0}` of `template` with each name: the catalogue, never input."""
    return joiner.join(template.format(name) for name in names)
