"""Whatever is killed around the embedded PostgreSQL, the next start recovers."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from fleetmeter.embedded import accounts, locks, postgres
from fleetmeter.embedded.cluster import Cluster
from tests.support.until import until

START = (
    "import sys, pathlib; from fleetmeter.embedded import postgres\n"
    "postgres.ensure_running(pathlib.Path(sys.argv[1]))"
)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    postgres.destroy(tmp_path / "data")


@pytest.fixture
def innocent(folder: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a process of the server's own account, as whoever inherits its process id may be."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        account = accounts.serving(Cluster(folder).data, postgres.ACCOUNTS)
        started.append(subprocess.Popen(["sleep", "600"], cwd="/", **account.popen))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def commit(folder: Path) -> None:
    engine = create_engine(postgres.url(folder))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE kept AS SELECT 42 AS answer"))
    engine.dispose(close=False)


def read_answer(folder: Path) -> object:
    engine = create_engine(postgres.ensure_running(folder))
    with engine.begin() as connection:
        answer = connection.execute(text("SELECT answer FROM kept")).scalar()
    engine.dispose()
    return answer


def kill_server(folder: Path) -> int:
    pid = postgres.status(folder).pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def test_a_killed_server_loses_nothing_committed(folder: Path) -> None:
    url = postgres.ensure_running(folder)
    commit(folder)
    killed = kill_server(folder)
    assert read_answer(folder) == 42
    assert postgres.url(folder) == url
    assert postgres.status(folder).pid != killed


@pytest.mark.drill
def test_a_session_that_outlives_the_killed_server_is_awaited(folder: Path) -> None:
    engine = create_engine(postgres.ensure_running(folder))
    commit(folder)
    with engine.connect() as connection:
        session = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        os.kill(session, signal.SIGSTOP)
        kill_server(folder)
        starter = subprocess.Popen([sys.executable, "-c", START, str(folder)])
        with pytest.raises(subprocess.TimeoutExpired):
            starter.wait(timeout=1.5)
        os.kill(session, signal.SIGCONT)
        assert starter.wait(timeout=60) == 0
        connection.invalidate()
    assert read_answer(folder) == 42


@pytest.mark.drill
def test_a_starter_killed_within_initdb_leaves_nothing_in_the_way(folder: Path) -> None:
    cluster = Cluster(folder)
    starter = subprocess.Popen([sys.executable, "-c", START, str(folder)])
    until(lambda: list(cluster.home.glob("new-*/data/PG_VERSION")), pause=0.001)
    starter.kill()
    starter.wait()
    assert not cluster.data.exists()
    postgres.ensure_running(folder)
    assert postgres.status(folder).running
    assert not list(cluster.home.glob("new-*"))


def test_a_starter_killed_while_the_server_comes_up_is_taken_over_from(folder: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", START, str(folder)])
    until(lambda: Cluster(folder).pid, pause=0.001)
    starter.kill()
    starter.wait()
    assert postgres.ensure_running(folder).database == "conduit"
    commit(folder)
    assert read_answer(folder) == 42


def test_a_reused_process_id_is_neither_believed_nor_killed(
    folder: Path, innocent: Callable[[], subprocess.Popen[bytes]]
) -> None:
    url = postgres.ensure_running(folder)
    commit(folder)
    trace = postgres.status(folder).folder / "postmaster.pid"
    note = trace.read_text().partition("\n")[2]
    kill_server(folder)
    until(lambda: not locks.is_held(Cluster(folder).life))  # its children end a moment later
    other = innocent()
    trace.write_text(f"{other.pid}\n{note}")
    (trace.parent / f".s.PGSQL.{url.port}.lock").write_text(f"{other.pid}\n{note}")
    assert not postgres.status(folder).running
    assert not postgres.stop(folder)
    assert read_answer(folder) == 42
    assert postgres.status(folder).pid != other.pid
    assert other.poll() is None


@pytest.mark.drill
def test_a_server_that_hangs_is_not_taken_for_dead(folder: Path) -> None:
    postgres.ensure_running(folder)
    pid = postgres.status(folder).pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    starter = subprocess.Popen([sys.executable, "-c", START, str(folder)])
    with pytest.raises(subprocess.TimeoutExpired):
        starter.wait(timeout=1.5)
    os.kill(pid, signal.SIGCONT)
    assert starter.wait(timeout=60) == 0
    assert postgres.status(folder).pid == pid
