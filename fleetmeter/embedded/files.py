"""Small files that are for their owner's eyes only, and never half written."""

import os
import tempfile
from pathlib import Path


def read(path: Path) -> str:
    """Return the text in `path` without surrounding blanks; empty if the file does not exist."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def write(path: Path, content: str) -> None:
    """Replace `path` as a whole, with mode 0600."""
    descriptor, name = tempfile.mkstemp(prefix=".", dir=path.parent)
    with open(descriptor, "w") as file:
        file.write(content + "\n")
        file.flush()
        os.fsync(descriptor)
    os.rename(name, path)


def sync(folder: Path) -> None:
    """Write the names in `folder` to the disk, after a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fresh_log(path: Path) -> int:
    """Open an empty log and return its descriptor; the previous log is renamed to `.1`."""
    if path.exists():
        path.rename(path.with_name(path.name + ".1"))
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
