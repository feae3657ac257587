"""One frozen Settings, the only reader of the environment (and of `.env`).

Any NAME may be given as NAME_FILE, the path of a file that holds the value; it is read once, at start.
A wrong value is refused with its variable's name and what it takes. Secrets are `SecretStr`, so
that they show as asterisks wherever a Settings is printed, logged or raised.
"""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from metering.config.aws import CloudSettings
from metering.config.oidc import SignInSettings
from metering.config.value_files import ValueFiles
from metering.errors import SettingsError

Approvable = Literal["adjustment", "gap", "close"]
DRIVER = "postgresql+psycopg2"  # SQLAlchemy 2.1 would take plain postgresql:// for psycopg 3


def default_data_dir() -> Path:
    """Return the machine's data folder for root, else a folder in the user's home."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/fleetmeter")
    return Path("~/.local/share/fleetmeter").expanduser()


class Settings(SignInSettings, CloudSettings):
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

    database_url: SecretStr | None = None
    db_host: str | None = None
    db_port: int = Field(default=5432, ge=1, le=65535)
    db_name: str = "conduit"
    db_user: str = "conduit"
    db_password: SecretStr = SecretStr("conduit")
    db_pool_size: int = Field(default=5, ge=1, le=100, alias="FLEETMETER_DB_POOL_SIZE")

    mqtt_url: SecretStr | None = None
    mqtt_topic_root: str = "roboticks"
    mqtt_outbound_levels: Annotated[tuple[str, ...], NoDecode] = (
        "commands",
        "cmd",
        "config",
        "ota",
    )
    mqtt_client_id: str | None = None
    mqtt_shared_group: str | None = None
    mqtt_reader: Literal["fast", "plain"] = "fast"  # plain: paho's own reader, slower and as exact
    mqtt_ca_file: Path | None = None
    mqtt_cert_file: Path | None = None
    mqtt_key_file: Path | None = None

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

    @field_validator("mqtt_outbound_levels", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

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

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        takes = "takes postgresql://user:password@host:5432/name"
        try:
            url = make_url(value.get_secret_value())
        except (ArgumentError, ValueError):
            raise ValueError(takes) from None  # its message may hold a part of the password
        if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
            raise ValueError(takes)
        if "@" in f"{url.host}{url.database}":
            raise ValueError(f"{takes}; write an @ in the password as %40")
        return value

    @field_validator("mqtt_url")
    @classmethod
    def _is_mqtt(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        takes = "takes mqtt://user:password@host:1883 or mqtts://host:8883"
        try:
            parts = urlsplit(value.get_secret_value())
            _ = parts.port
        except ValueError as error:
            raise ValueError(takes) from error
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise ValueError(takes)
        return value

    @field_validator("mqtt_topic_root")
    @classmethod
    def _is_topic_root(cls, value: str) -> str:
        if not value.strip("/") or set(value) & set("+#\0") or value != value.strip("/"):
            raise ValueError("takes topic levels without wildcards or outer slashes, like roboticks")
        return value

    @field_validator("mqtt_shared_group")
    @classmethod
    def _is_share_name(cls, value: str | None) -> str | None:
        if value is not None and set(value) & set("/+#\0"):
            raise ValueError("takes one name for the whole group, without / + and #, like meters")
        return value

    @model_validator(mode="after")
    def _key_goes_with_certificate(self) -> "Settings":
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            raise ValueError("MQTT_CERT_FILE and MQTT_KEY_FILE go together; set both or neither")
        return self

    @model_validator(mode="after")
    def _approval_needs_sign_in(self) -> "Settings":
        if self.approval and not self.sign_in:
            raise ValueError(
                "FLEETMETER_APPROVAL asks for a second person, and without sign-in nobody can be told apart; "
                "set FLEETMETER_OIDC_* (docs/sign-in.md), or leave FLEETMETER_APPROVAL out"
            )
        return self

    @property
    def embedded_database(self) -> bool:
        """Return whether PostgreSQL runs in the data folder: neither DATABASE_URL nor any DB_* is set."""
        return self.database_url is None and not (
            {"db_host", "db_port", "db_name", "db_user", "db_password"} & self.model_fields_set
        )

    @property
    def database(self) -> URL:
        """Return the URL of PostgreSQL; it prints with the password hidden."""
        if self.database_url is not None:
            url = make_url(self.database_url.get_secret_value())
            return url if "+" in url.drivername else url.set(drivername=DRIVER)
        return URL.create(
            DRIVER,
            username=self.db_user,
            password=self.db_password.get_secret_value(),
            host=self.db_host or "localhost",
            port=self.db_port,
            database=self.db_name,
        )


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
