"""NAME_FILE holds the value of the setting NAME."""

import os
from pathlib import Path

import pytest

from metering.config.settings import Settings, load_settings
from metering.config.value_files import override
from metering.errors import SettingsError


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in list(os.environ):
        if name.startswith(("DB_", "MQTT_", "AWS_", "S3_", "ECR_", "FLEETMETER_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(path: Path, content: str) -> str:
    path.write_text(content)
    return str(path)


def test_a_secret_is_read_from_its_file(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("DB_HOST", "db.internal")
    monkeypatch.setenv("DB_PASSWORD_FILE", written(folder / "password", "hunter2\n"))
    settings = load_settings()
    assert settings.database.password == "hunter2"
    assert "hunter2" not in repr(settings)


def test_a_database_in_a_file_is_not_the_embedded_one(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("DATABASE_URL_FILE", written(folder / "url", "postgresql://u:p@h/d"))
    assert not load_settings().embedded_database


def test_lists_and_aliases_are_read_from_files(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("MQTT_OUTBOUND_LEVELS_FILE", written(folder / "levels", "down,up\n"))
    monkeypatch.setenv("FLEETMETER_METRICS_TOKEN_FILE", written(folder / "token", "t" * 32))
    settings = load_settings()
    assert settings.mqtt_outbound_levels == ("down", "up")
    assert settings.metrics_token
    assert settings.metrics_token.get_secret_value() == "t" * 32


@pytest.mark.parametrize(
    "name", [(field.alias or name).upper() for name, field in Settings.model_fields.items()]
)
def test_every_setting_may_be_in_a_file(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path) -> None:
    monkeypatch.setenv(name + "_FILE", str(folder / "absent"))
    with pytest.raises(SettingsError, match=f"{name}_FILE: .*absent cannot be read"):
        load_settings()


def test_both_names_are_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("MQTT_URL", "mqtt://broker")
    monkeypatch.setenv("MQTT_URL_FILE", written(folder / "url", "mqtt://other"))
    with pytest.raises(SettingsError, match="MQTT_URL and MQTT_URL_FILE are both set"):
        load_settings()


def test_a_name_of_the_environment_hides_the_file_that_dotenv_names(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    written(folder / ".env", f"DB_NAME_FILE={written(folder / 'name', 'of_the_file')}\n")
    assert load_settings().db_name == "of_the_file"
    monkeypatch.setenv("DB_NAME", "of_the_environment")
    assert load_settings().db_name == "of_the_environment"


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_file_without_a_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes
) -> None:
    (folder / "password").write_bytes(content)
    monkeypatch.setenv("DB_PASSWORD_FILE", str(folder / "password"))
    with pytest.raises(SettingsError, match=r"DB_PASSWORD_FILE: .*password is"):
        load_settings()


def test_a_wrong_value_of_a_file_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("DB_PORT_FILE", written(folder / "port", "many"))
    with pytest.raises(SettingsError, match="DB_PORT"):
        load_settings()


def test_a_child_gets_the_value_instead_of_the_file() -> None:
    environment = {"MQTT_URL_FILE": "/run/secrets/url", "MQTT_KEY_FILE": "key.pem"}
    assert override(environment, {"MQTT_URL": "mqtt://here"}) == {
        "MQTT_KEY_FILE": "key.pem",
        "MQTT_URL": "mqtt://here",
    }
