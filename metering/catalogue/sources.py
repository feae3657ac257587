"""The catalogue of sources: what each measures, how its coverage is told, and what configures it.

A source is read as a whole: at any instant it either answers or is blind. The seal, the coverage, the
alerts, doctor and the console iterate over `SOURCES`; docs/howto/ says how to add one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SourceName = Literal["mqtt", "platform_db", "s3", "ecr"]
# How it is known when a source was measured:
#   sessions  a daemon held its session with the broker (mqtt_sessions, gaps)
#   hours     each hour says up to when it was counted (usage_hourly.measured)
#   samples   each sample has its instant (usage_hourly.measured); between two the level is carried over
MeasuredBy = Literal["sessions", "hours", "samples"]


@dataclass(frozen=True)
class SourceInfo:
    """One source. `setting` is the field of Settings that configures it, None for one that always is."""

    name: SourceName
    label: str
    measured_by: MeasuredBy
    setting: str | None

    @property
    def is_counter(self) -> bool:
        """Return whether it is a source of counters, whose gaps leave usage unbilled."""
        return self.measured_by != "samples"

    @property
    def is_polled(self) -> bool:
        """Return whether the hourly job reads it; the other sources report by themselves."""
        return self.measured_by != "sessions"

    @property
    def measured_at(self) -> str:
        """Return the column of project_stats with the instant of its last measurement."""
        return f"{self.name}_measured_at"

    def is_configured(self, settings: object) -> bool:
        """Return whether `settings` (metering.config.settings) configure this source."""
        return self.setting is None or bool(getattr(settings, self.setting))


SOURCES: tuple[SourceInfo, ...] = (
    SourceInfo("mqtt", "MQTT", "sessions", "mqtt_url"),
    SourceInfo("platform_db", "Platform database", "hours", None),
    SourceInfo("s3", "S3", "samples", "s3_bucket"),
    SourceInfo("ecr", "ECR", "samples", "ecr_repository_uri"),
)

SOURCE_NAMES: tuple[SourceName, ...] = tuple(source.name for source in SOURCES)
SOURCE_LABELS: dict[str, str] = {source.name: source.label for source in SOURCES}
COUNTER_SOURCES: tuple[SourceName, ...] = tuple(source.name for source in SOURCES if source.is_counter)
GAUGE_SOURCES: tuple[SourceName, ...] = tuple(source.name for source in SOURCES if not source.is_counter)
POLLED_SOURCES: tuple[SourceInfo, ...] = tuple(source for source in SOURCES if source.is_polled)


def source_info(name: SourceName) -> SourceInfo:
    """Return the source called `name`."""
    return next(source for source in SOURCES if source.name == name)


def quoted(names: Iterable[str]) -> str:
    """Return `names` of the catalogue as an SQL list, for `IN`; never call it with input."""
    return "(" + ", ".join(f"'{name}'" for name in names) + ")"
