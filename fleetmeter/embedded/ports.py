"""A TCP port on loopback that stays the same from start to start."""

import secrets
import socket
from pathlib import Path

from fleetmeter.embedded import files

HOST = "127.0.0.1"
_RANGE = range(20_000, 32_000)  # below those that systems hand out to outgoing connections


def is_free(port: int) -> bool:
    """Return whether a server could listen on `port` of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: the connections of a killed one linger, and do not hold its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def choose_port(note: Path) -> int:
    """Return the port noted last time; if another process has taken it, note and return a new one.

    Raises OSError when none is free.
    """
    port_text = files.read(note)
    if port_text.isdigit() and is_free(int(port_text)):
        return int(port_text)
    candidates = (secrets.choice(_RANGE) for _ in range(200))
    port = next((port for port in candidates if is_free(port)), None)
    if port is None:
        raise OSError(None, f"no free port on {HOST}", f"{_RANGE[0]}-{_RANGE[-1]}")
    files.write(note, str(port))
    return port
