"""Tell which demos run on this machine, and how to talk to them.

A demo holds a lock in its folder for as long as it lives, and is noted in a folder of its user, so that
commands with another data folder find it. The notes hold a password: only their owner can read them.
"""

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleetmeter.embedded import files, locks
from metering.config.settings import default_data_dir
from metering.errors import FleetmeterError

HOW = 'eval "$(fleetmeter demo --env)"'


class DemoRuns(FleetmeterError):
    """A demo runs on the same data already; names its folder."""


class NoDemo(FleetmeterError):
    """No demo runs on this machine, or several do and none of them in the data folder that is set."""


@dataclass(frozen=True)
class Demo:
    """A demo that runs: its data folder, and the settings of commands that talk to it."""

    folder: Path
    environment: Mapping[str, str]


def folder(data_dir: Path) -> Path:
    """Return where the demo of a data folder keeps its data."""
    return data_dir.expanduser().absolute() / "demo"


@contextmanager
def only(demo: Path) -> Iterator[None]:
    """Hold the folder `demo` as its only demo; remove the note at the end. Raises DemoRuns."""
    demo.parent.mkdir(parents=True, exist_ok=True)
    try:
        with locks.exclusive(_lock(demo), patience=0):
            try:
                yield
            finally:
                _note(demo).unlink(missing_ok=True)
    except TimeoutError as error:
        raise DemoRuns(
            f"a demo runs in {demo} already; talk to it with {HOW}, or stop it first (Ctrl-C where it runs)"
        ) from error


def announce(demo: Path, environment: Mapping[str, str]) -> None:
    """Note how to talk to the demo that this process runs in the folder `demo`."""
    note = _note(demo)
    note.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    files.write(note, json.dumps({"folder": str(demo), "environment": dict(environment)}))


def demos() -> list[Demo]:
    """Return the demos of this user that run now, by folder."""
    contents = filter(None, map(files.read, _notes().glob("*.json")))  # one may have ended meanwhile
    notes = sorted(map(json.loads, contents), key=lambda note: str(note["folder"]))
    known_demos = [Demo(Path(note["folder"]), note["environment"]) for note in notes]
    return [demo for demo in known_demos if locks.is_held(_lock(demo.folder))]


def exports(data_dir: Path) -> str:
    """Return shell commands that point this shell at a running demo: that of `data_dir`, or the only one.

    Raises NoDemo.
    """
    running = demos()
    own = [demo for demo in running if demo.folder == folder(data_dir)]
    candidates = own or running
    if not candidates:
        raise NoDemo("no demo runs on this machine; start one: fleetmeter demo")
    if len(candidates) > 1:
        folders = ", ".join(str(demo.folder.parent) for demo in candidates)
        raise NoDemo(f"several demos run; choose one by FLEETMETER_DATA_DIR: {folders}")
    settings = sorted(candidates[0].environment.items())
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings)


def _notes() -> Path:
    return default_data_dir() / "demos"


def _note(demo: Path) -> Path:
    return _notes() / f"{hashlib.sha256(str(demo).encode()).hexdigest()[:16]}.json"


def _lock(demo: Path) -> Path:
    return demo.with_name("demo.lock")
