"""The built wheel in a backend's folder that has packages of the same names as ours."""

import os
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from metering.config.settings import Settings
from tests.support.fleet import answer
from tests.support.platform import Platform
from tests.support.until import until

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]  # it builds the package, with pip

ROOT = Path(__file__).parents[2]
PACKAGES = ("jobs", "console", "migrations", "migrations/versions", "tests", "api")
CALLS = """
from fleetmeter import LimitService, StatsUpdaterService

stats, project, organization = StatsUpdaterService(), {project}, {organization}
for outcome in (
    stats.update_all_projects(),
    stats.update_project_stats(project),
    stats.create_daily_snapshot(project),
    stats.create_all_daily_snapshots(),
    stats.reset_monthly_stats(project),
    stats.reset_all_monthly_stats(),
):
    assert outcome.state == "succeeded", outcome
stats.increment_mqtt_inbound(project, 3)
stats.increment_mqtt_outbound(project, 2)

limits = LimitService()
for answer in (
    limits.check_project_limit(organization),
    limits.check_user_limit(organization, 1),
    limits.check_device_limit(organization, project),
    limits.check_storage_limit(organization, project, 1),
    limits.check_mqtt_inbound_limit(organization, project),
    limits.check_mqtt_outbound_limit(organization, project),
    limits.check_ecr_image_limit(organization, project),
):
    assert answer.allowed, answer
print("every method was called")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of an environment that has the wheel, and our dependencies."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", source], input=tracked, check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder, source], check=True)
    (wheel,) = folder.glob("*.whl")
    place = folder / "environment"
    venv.create(place)
    python = place / "bin" / "python"
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True)
    (site,) = place.glob("lib/*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


@pytest.fixture
def backend(tmp_path: Path) -> Path:
    """A backend's folder, with packages that must not be imported."""
    folder = tmp_path / "backend"
    for name in PACKAGES:
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text(f"raise ImportError('this is {name} of the backend')\n")
    return folder


@pytest.fixture
def environment(configured: Settings, url: URL, tmp_path: Path) -> dict[str, str]:
    own = {
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "FLEETMETER_DATA_DIR": str(tmp_path / "data"),
    }
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | own


def test_every_method_of_both_services_works(
    installed: Path, backend: Path, environment: dict[str, str], platform: Platform
) -> None:
    organization = platform.organization()
    project = platform.project(organization)
    (backend / "app.py").write_text(CALLS.format(project=project, organization=organization))
    process = subprocess.run(
        [installed / "python", "app.py"],
        cwd=backend,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.strip().endswith("every method was called"), process.stderr


@pytest.fixture
def console(installed: Path, backend: Path, environment: dict[str, str]) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    command = [installed / "fleetmeter", "console", "--port", str(port)]
    with subprocess.Popen(command, cwd=backend, env=environment) as process:
        yield port
        process.terminate()


def test_the_console_starts_and_answers_its_probe(console: int) -> None:
    until(lambda: answer(f"http://127.0.0.1:{console}/readyz")[0] == 200)


@pytest.mark.mosquitto
def test_a_drill_runs(installed: Path, backend: Path, environment: dict[str, str]) -> None:
    process = subprocess.run(
        [installed / "fleetmeter", "drill", "--minutes", "0.1"],
        cwd=backend,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
