"""Who a server runs as: the user who starts it, or an unprivileged account when that is root."""

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetmeter.embedded.errors import AccountError

_HERE = Path("/proc/self/cwd")


@dataclass(frozen=True)
class Account:
    """An operating system account, and how to start a process under it."""

    name: str
    uid: int
    gid: int

    @property
    def is_other(self) -> bool:
        """Return whether this is another account than this process's."""
        return self.uid != os.geteuid()

    @property
    def popen(self) -> dict[str, Any]:
        """Return arguments of subprocess: this account, without the caller's environment."""
        options: dict[str, Any] = {"env": {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}}
        if self.is_other:
            options |= {"user": self.uid, "group": self.gid, "extra_groups": []}
        return options

    def own(self, *paths: Path) -> None:
        """Give `paths` to this account."""
        if self.is_other:
            for path in paths:
                # A link is not followed: the other account may have put it there.
                os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def may_enter(self, folder: Path) -> bool:
        """Return whether every folder on the way to `folder` lets this account through."""
        command = ["/bin/sh", "-c", 'test -x "$0"', str(folder)]
        return subprocess.run(command, check=False, cwd="/", **self.popen).returncode == 0

    def name_for(self, folder: Path) -> str:
        """Return the name by which a process of this account, started inside `folder`, may call it.

        Its path, unless a folder above is closed to the account (/root is 0700, and not ours to
        open): then the kernel's own name for "where I am", which needs no way in from the root.
        """
        if self.may_enter(folder):
            return str(folder)
        if _HERE.exists():
            return str(_HERE)
        raise AccountError(
            f"the account {self.name}, under which root's servers run, cannot enter {folder}; set "
            "FLEETMETER_DATA_DIR to a folder that it can, or run as an ordinary user"
        )


def serving(folder: Path, candidates: Sequence[str]) -> Account:
    """Return the account that serves `folder`: its owner, or for root the first candidate that exists.

    Anyone else's servers run as themselves. Raises AccountError when no candidate exists.
    """
    if os.geteuid() != 0:
        return Account(str(os.geteuid()), os.geteuid(), os.getegid())
    if folder.exists() and folder.stat().st_uid != 0:
        return Account(str(folder.stat().st_uid), folder.stat().st_uid, folder.stat().st_gid)
    entries = {entry.pw_name: entry for entry in pwd.getpwall()}
    for name in candidates:
        if name in entries:
            return Account(name, entries[name].pw_uid, entries[name].pw_gid)
    raise AccountError(
        f"root's servers run under an account without privileges, and none of "
        f"{', '.join(candidates)} exists; create one, or run as an ordinary user"
    )
