"""Settings: a wrong value is refused with its variable's name; secrets never show."""

import os
from pathlib import Path

import pytest

from metering.config.settings import current_settings, load_settings
from metering.errors import SettingsError


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("DB_", "MQTT_", "AWS_", "S3_", "ECR_", "FLEETMETER_", "DATABASE_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://root@localhost/db"),
        ("DATABASE_URL", "not a url"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("DB_PORT", "many"),
        ("DB_PORT", "70000"),
        ("MQTT_URL", "http://localhost:1883"),
        ("MQTT_URL", "mqtt://"),
        ("MQTT_URL", "mqtt://host:port"),
        ("MQTT_TOPIC_ROOT", "robots/#"),
        ("MQTT_TOPIC_ROOT", "/"),
        ("MQTT_SHARED_GROUP", "meters/1"),
        ("S3_PREFIX", "{org_id}/"),
        ("S3_PREFIX", "{organisation}/{project_id}/"),
        ("ECR_TAG_PREFIX", "{project_id"),
        ("AWS_ENDPOINT_URL", "localhost:4566"),
    ],
)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()


def test_a_certificate_without_its_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_CERT_FILE", "device.pem")
    with pytest.raises(SettingsError, match="MQTT_KEY_FILE"):
        load_settings()


def test_secrets_show_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    monkeypatch.setenv("MQTT_URL", "mqtt://u:hunter2@h")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    settings = load_settings()
    assert "hunter2" not in repr(settings) + str(settings.database)
    monkeypatch.setenv("MQTT_URL", "mqtts//u:hunter2@h")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_nothing_set_means_an_embedded_database() -> None:
    assert load_settings().embedded_database


@pytest.mark.parametrize(
    ("name", "value"), [("DATABASE_URL", "postgresql://h/d"), ("DB_HOST", "h"), ("DB_NAME", "x")]
)
def test_any_database_setting_means_that_database(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert not load_settings().embedded_database


def test_the_parts_default_to_conduit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_HOST", "db.internal")
    url = load_settings().database
    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg2://conduit:conduit@db.internal:5432/conduit"
    )


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1, us-east-1")
    assert load_settings().aws_region == ("eu-west-1", "us-east-1")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "")
    assert load_settings().embedded_database


@pytest.mark.parametrize("password", ["hunter@2secret", "hunter@a:2secret", "hunter@a/2secret", "@2secret"])
def test_an_at_sign_in_the_password_is_refused_without_a_part_of_it(
    password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{password}@db.internal:5432/fleet")
    with pytest.raises(SettingsError, match="DATABASE_URL: takes postgresql://") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_settings_are_read_from_a_dotenv_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("S3_BUCKET=fleet-storage\n")
    assert load_settings().s3_bucket == "fleet-storage"


def test_settings_that_are_asked_often_follow_the_file(tmp_path: Path) -> None:
    assert current_settings() is current_settings()
    (tmp_path / ".env").write_text("MQTT_TOPIC_ROOT=fleet")
    assert current_settings().mqtt_topic_root == "fleet"
    (tmp_path / ".env").write_text("MQTT_TOPIC_ROOT=others")
    assert current_settings().mqtt_topic_root == "others"
