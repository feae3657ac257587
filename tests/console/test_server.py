"""How the console is served: loopback only, and its files in nobody's way."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from console import server
from console.access.loopback_only import is_loopback
from console.ui import escape, format
from console.views.overview.rate_card import per_second
from metering.config.settings import Settings
from tests.support.fleet import answer
from tests.support.ports import free_port
from tests.support.until import until

HERE = Path(server.__file__).parent
PRINT_OPTIONS = """
import sys
from streamlit import config
config._main_script_path = sys.argv[1]
for name in ("server.address", "client.showErrorDetails", "theme.light.primaryColor"):
    print(config.get_option(name))"""


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])  # noqa: S104 - what must be refused
@pytest.mark.parametrize("way", ["option", "variable"])
def test_another_address_than_loopback_is_refused(way: str, address: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streamlit", "run", str(HERE / "app.py"), "--server.port=0"]
    command += [f"--server.address={address}"] if way == "option" else []
    environment = os.environ | ({"STREAMLIT_SERVER_ADDRESS": address} if way == "variable" else {})
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=150, cwd=tmp_path, check=False, env=environment
    )
    assert process.returncode != 0
    assert "serves 127.0.0.1 only" in process.stderr + process.stdout
    assert "Traceback" not in process.stderr


def test_a_file_that_says_another_address_is_not_obeyed(tmp_path: Path) -> None:
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "config.toml").write_text('[server]\naddress = "0.0.0.0"\n')
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", str(HERE / "app.py"), f"--server.port={port}"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until(lambda: answer(f"http://127.0.0.1:{port}/healthz")[0] == 200 or process.poll() is not None)
        assert answer(f"http://127.0.0.2:{port}/healthz") == (0, "")
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.parametrize(
    ("reached", "own"),
    [
        (("127.0.0.1", 8501), True),
        (("127.8.8.8", 8501), True),
        (("::1", 8501), True),
        (("localhost", 8501), True),
        (("/run/console.sock", None), True),
        (("192.0.2.1", 8501), False),
        (("::", 8501), False),
        (("fe80::1", 8501), False),
        (("testserver", 80), False),
        (None, False),
    ],
)
def test_only_what_came_in_through_loopback_is_answered(
    reached: tuple[str, int | None] | None, own: bool
) -> None:
    assert is_loopback(reached) is own


def test_an_address_set_without_sign_in_is_refused_before_anybody_is_served(tmp_path: Path) -> None:
    settings = Settings(console_address="0.0.0.0")  # noqa: S104 - what must be refused
    process = subprocess.run(
        server.command(0, settings), capture_output=True, text=True, timeout=150, cwd=tmp_path, check=False
    )
    assert process.returncode != 0
    assert "serves 127.0.0.1 only, not 0.0.0.0" in process.stderr + process.stdout


def test_half_a_sign_in_is_refused_by_name_before_anybody_is_served(tmp_path: Path) -> None:
    half = {**os.environ, "FLEETMETER_OIDC_CLIENT_SECRET": "hush-hush"}
    command = server.command(0, Settings())
    process = subprocess.run(
        command, capture_output=True, text=True, timeout=150, cwd=tmp_path, check=False, env=half
    )
    assert process.returncode != 0
    assert "FLEETMETER_OIDC_METADATA_URL" in process.stderr
    assert "hush-hush" not in process.stderr + process.stdout
    assert "Traceback" not in process.stderr


def test_the_command_binds_to_loopback_whatever_the_files_say() -> None:
    assert "--server.address=127.0.0.1" in server.command(8501, Settings())
    assert "--server.port=8501" in server.command(8501, Settings())


@pytest.mark.parametrize("folder", [HERE.parent, Path("/")])
def test_streamlit_finds_the_one_configuration_from_any_folder(folder: Path) -> None:
    root = HERE.parent / ".streamlit" / "config.toml"
    assert root.resolve() == HERE / ".streamlit" / "config.toml"
    process = subprocess.run(
        [sys.executable, "-c", PRINT_OPTIONS, str(HERE / "app.py")],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert process.stdout.split() == ["127.0.0.1", "none", "#0b62a4"]


def test_no_file_is_named_like_a_package() -> None:
    # `streamlit run` puts this folder first on the path, where it would hide the package.
    package_names = set(sys.stdlib_module_names) | set(packages_distributions())
    ours = {path.stem for path in HERE.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__init__"}
    assert ours & package_names == set()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", "plain"),
        ("a\u202eb", "a b"),
        ("line\nbreak\ttab", "line break tab"),
        ("", "(no name)"),
        ("\u200b", "(no name)"),
    ],
)
def test_a_name_is_shown_on_one_line_in_its_own_direction(name: str, expected: str) -> None:
    assert escape.short(name) == expected


def test_a_long_name_is_cut() -> None:
    assert len(escape.short("n" * 5_000)) == escape.LONGEST


def test_a_name_is_no_markup() -> None:
    assert escape.html("<b>&") == "<bdi>&lt;b&gt;&amp;</bdi>"
    assert escape.markdown("**a** [b](c)") == "\\*\\*a\\*\\* \\[b\\]\\(c\\)"


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "unknown"), (0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (53_210_000_000, "53.2 GB")],
)
def test_bytes_are_decimal_and_unknown_is_a_word(value: int | None, expected: str) -> None:
    assert format.size(value) == expected


def test_the_rate_needs_two_samples_and_looks_at_the_last_seconds() -> None:
    start = datetime(2026, 11, 24, tzinfo=UTC)
    samples = [(start + timedelta(seconds=2 * n), 600 * n) for n in range(20)]
    assert per_second(samples[:1]) is None
    assert per_second([(start - timedelta(hours=1), 0), *samples]) == 300
