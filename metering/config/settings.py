"""One frozen Settings, the only reader of the environment (and of `.env`).

Any NAME may be given as NAME_FILE, the path of a file that holds the value; it is read once, at start.
A wrong value is refused with its variable's name and what it takes. Secrets are `SecretStr`, so
that they show as asterisks wherever a Settings is printed, logged or raised.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from metering.config.aws import CloudSettings
from metering.config.database import DatabaseSettings
from metering.config.mqtt import MqttSettings
from metering.config.oidc import SignInSettings
from metering.config.value_files import ValueFiles
from metering.errors import SettingsError

Approvable = Literal["adjustment", "gap", "close"]


def default_data_dir() -> Path:
    """Return the machine's data folder for root, else a folder in the user's home."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/fleetmeter")
    return Path("~/.local/share/fleetmeter").expanduser()


class Settings(DatabaseSettings, MqttSettings, SignInSettings, CloudSettings):
    """Every setting of every process; the names in upper case are the environment's."""

    model_config = SettingsConfigDict(
        env_file=".env",
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read NAME_FILE beside NAME: first the environment's, then those of `.env`."""
        sources: list[PydanticBaseSettingsSource] = [init_settings]
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                sources += [ValueFiles(settings_cls, source), source]
        return tuple(sources)

    alert_urls: SecretStr | None = Field(default=None, alias="FLEETMETER_ALERT_URLS")
    alert_sns_topic_arn: str | None = Field(
        default=None,
        pattern=r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]+$",
        alias="FLEETMETER_ALERT_SNS_TOPIC_ARN",
    )

    archive_bucket: str | None = Field(default=None, alias="FLEETMETER_ARCHIVE_BUCKET")
    archive_prefix: str = Field(
        default="fleetmeter/", pattern=r"^([^/]+/)*$", alias="FLEETMETER_ARCHIVE_PREFIX"
    )

    approval: Annotated[tuple[Approvable, ...], NoDecode] = Field(default=(), alias="FLEETMETER_APPROVAL")
    keep_hours_days: Annotated[dict[str, int], NoDecode] = Field(
        default={}, alias="FLEETMETER_KEEP_HOURS_DAYS"
    )
    keep_days_months: Annotated[dict[str, int], NoDecode] = Field(
        default={}, alias="FLEETMETER_KEEP_DAYS_MONTHS"
    )
    clock_tolerance: float = Field(default=60, gt=0, allow_inf_nan=False, alias="FLEETMETER_CLOCK_TOLERANCE")
    top_devices: int = Field(default=100, ge=0, le=10_000, alias="FLEETMETER_TOP_DEVICES")
    keep_devices_days: int = Field(default=90, ge=1, le=36_500, alias="FLEETMETER_KEEP_DEVICES_DAYS")
    keep_runs_days: int = Field(default=400, ge=8, alias="FLEETMETER_KEEP_RUNS_DAYS")

    api_address: str = Field(default="127.0.0.1", alias="FLEETMETER_API_ADDRESS")
    api_requests_per_minute: int = Field(
        default=60_000, ge=1, le=10**9, alias="FLEETMETER_API_REQUESTS_PER_MINUTE"
    )

    metrics_address: str = Field(default="127.0.0.1", alias="FLEETMETER_METRICS_ADDRESS")
    counter_metrics_port: int | None = Field(
        default=None, ge=1, le=65535, alias="FLEETMETER_COUNTER_METRICS_PORT"
    )
    runner_metrics_port: int | None = Field(
        default=None, ge=1, le=65535, alias="FLEETMETER_RUNNER_METRICS_PORT"
    )

    plans: Path | None = Field(default=None, alias="FLEETMETER_PLANS")
    meters: Path | None = Field(default=None, alias="FLEETMETER_METERS")
    data_dir: Path = Field(default_factory=default_data_dir, alias="FLEETMETER_DATA_DIR")

    @field_validator("approval", mode="before")
    @classmethod
    def _actions(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        actions = tuple(part.strip() for part in value.split(",") if part.strip())
        if not set(actions) <= set(get_args(Approvable)):
            raise ValueError("takes adjustment, gap and close, separated by commas")
        return actions

    @field_validator("keep_hours_days", "keep_days_months", mode="before")
    @classmethod
    def _by_tier(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        parts = [part.strip().rpartition("=") for part in value.split(",") if part.strip()]
        try:
            keep = {tier.strip(): int(length) for tier, _, length in parts}
        except ValueError:
            keep = {}
        if len(keep) < len(parts) or min(keep.values(), default=1) < 1:
            raise ValueError("takes a number like 400, with tiers of their own like 400,free=90")
        return keep

    @model_validator(mode="after")
    def _approval_needs_sign_in(self) -> "Settings":
        if self.approval and not self.sign_in:
            raise ValueError(
                "FLEETMETER_APPROVAL asks for a second person, and without sign-in nobody can be told apart; "
                "set FLEETMETER_OIDC_* (docs/sign-in.md), or leave FLEETMETER_APPROVAL out"
            )
        return self


def load_settings(**overrides: Any) -> Settings:
    """Load the settings from the environment. Raises SettingsError naming each wrong variable."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(problem) for problem in error.errors())) from None


def current_settings() -> Settings:
    """Return the settings as they are now: `.env` is read again whenever it changes.

    The environment of a process is fixed, and is read once.
    """
    try:
        status = Path(".env").stat()
        file = (str(Path.cwd()), status.st_mtime_ns, status.st_size)
    except OSError:
        file = None
    return settings_of(file)


@lru_cache(maxsize=2)
def settings_of(_file: tuple[str, int, int] | None) -> Settings:
    """Return the settings read while `.env` was that file."""
    return load_settings()


def _sentence(problem: Any) -> str:
    location = problem["loc"]
    message = problem["msg"].removeprefix("Value error, ")
    return f"{str(location[0]).upper()}: {message}" if location else message
