"""Settings of MQTT: the broker, its topics, the identity of the counter and its certificates."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode


class MqttSettings(BaseSettings):
    """The broker, and how counters connect to it."""

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

    @field_validator("mqtt_outbound_levels", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
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
    def _key_goes_with_certificate(self) -> Self:
        if (self.mqtt_cert_file is None) != (self.mqtt_key_file is None):
            raise ValueError("MQTT_CERT_FILE and MQTT_KEY_FILE go together; set both or neither")
        return self
