"""The server under test: the console, or a hello page of Streamlit beside it."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console import server
from metering.config.settings import load_settings

_PIDS: dict[str, int] = {}


def memory(address: str) -> int:
    """Return the resident memory of the server at `address`, in bytes."""
    pages = int(Path(f"/proc/{_PIDS[address]}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(variables: dict[str, str]) -> Iterator[str]:
    """Serve the console, or without `variables` the hello page; yield its address.

    `variables`: the environment, which names the database.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = server.command(port, load_settings())
    if variables:
        command[1 : command.index("run")] = ["-m", "benchmarks._timed"]
    else:
        command[command.index("run") + 1] = str(Path(__file__).with_name("_hello.py"))
    process = subprocess.Popen(
        command, env=os.environ | variables, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    address = f"http://127.0.0.1:{port}"
    _PIDS[address] = process.pid
    try:
        _await(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _await(address: str, process: "subprocess.Popen[bytes]") -> None:
    while process.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=5).close()  # noqa: S310 - our own server
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the server under test ended")
