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
    """What is counted: `name` is its column everywhere."""

    name: str
    unit: Unit
    source: Source
    label: str


@dataclass(frozen=True)
class Gauge:
    """A sampled level: `name` in hours, days and as `peak_<name>` in months; `live` in project_stats.

    `source` is None for a gauge that is the sum of the others.
    """

    name: str
    live: str
    unit: Unit
    source: Source | None
    label: str


COUNTERS: tuple[Counter, ...] = (
    Counter("logs", "count", "platform_db", "Log entries"),
    Counter("sessions", "count", "platform_db", "Sessions"),
    Counter("mqtt_inbound", "count", "mqtt", "MQTT messages in"),
    Counter("mqtt_outbound", "count", "mqtt", "MQTT messages out"),
    Counter("mqtt_inbound_bytes", "bytes", "mqtt", "MQTT payload in"),
    Counter("mqtt_outbound_bytes", "bytes", "mqtt", "MQTT payload out"),
    Counter("api_calls", "count", "platform_db", "API calls"),
    Counter("deployments", "count", "platform_db", "Deployments"),
    Counter("docker_upload_bytes", "bytes", "platform_db", "Docker upload"),
    Counter("docker_download_bytes", "bytes", "platform_db", "Docker download"),
    Counter("data_transfer_bytes", "bytes", "platform_db", "Data transfer"),
)

GAUGES: tuple[Gauge, ...] = (
    Gauge("s3_storage_bytes", "total_s3_storage_bytes", "bytes", "s3", "S3 storage"),
    Gauge("docker_storage_bytes", "total_docker_storage_bytes", "bytes", "ecr", "Docker storage"),
    Gauge("logs_storage_bytes", "total_logs_storage_bytes", "bytes", "platform_db", "Log storage"),
    Gauge("storage_bytes", "total_storage_bytes", "bytes", None, "Storage"),
    Gauge("device_count", "total_devices", "count", "platform_db", "Devices"),
    Gauge("active_device_count", "active_devices", "count", "platform_db", "Active devices"),
    Gauge("ecr_image_count", "current_ecr_images", "count", "ecr", "Container images"),
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
