"""Runs a broker for as long as its own standard input stays open, which is its starter's life.

A script, not a module: Python alone runs it, in milliseconds and without what we install.
The kernel's death signal alone would not do: it is Linux's, and follows a thread, not a process.

    python -I -S watchdog.py UID GID COMMAND…     prints the broker's process id
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading

_LAST_WORDS = 30.0  # seconds to save the queues before it is killed
_PR_SET_PDEATHSIG = 1


def main() -> int:
    """Exit with the broker's code."""
    uid, gid, *command = sys.argv[1:]
    account = {"user": int(uid), "group": int(gid), "extra_groups": []}
    broker: subprocess.Popen[bytes] = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        close_fds=False,  # it holds the folder's lock, too
        preexec_fn=_die_with_us if sys.platform == "linux" else None,  # noqa: PLW1509 one thread
        **(account if os.geteuid() != int(uid) else {}),  # type: ignore[call-overload]
    )
    print(broker.pid, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: broker.terminate())
    threading.Thread(target=_outlive, args=[broker], daemon=True).start()
    return broker.wait()


def _outlive(broker: "subprocess.Popen[bytes]") -> None:
    sys.stdin.buffer.read()  # returns when the starter closes its end, or dies
    broker.terminate()
    try:
        broker.wait(_LAST_WORDS)
    except subprocess.TimeoutExpired:
        broker.kill()


def _die_with_us() -> None:
    """End with the parent, even if the watchdog itself is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
