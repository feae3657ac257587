"""Many connections, and slow ones: they wait without keeping others from an answer."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest

from api.server import allow_connections
from tests.support.api_site import Site
from tests.support.ports import free_port
from tests.support.until import until


async def open_one(site: Site) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = site.address.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


def head(site: Site, method: str, path: str, more: str = "") -> bytes:
    bearer = f"Authorization: Bearer {site.tokens['admin']}\r\n"
    return f"{method} /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}{more}\r\n".encode()


async def answered(site: Site) -> float:
    """Return the seconds until a new client has its answer."""
    began = time.monotonic()
    reader, writer = await open_one(site)
    writer.write(head(site, "GET", "/projects/1", "Connection: close\r\n"))
    assert (await reader.read()).startswith(b"HTTP/1.1 200")
    writer.close()
    return time.monotonic() - began


async def crowd(site: Site, idle: int, slow: int) -> float:
    """Open idle connections, slow writers and slow readers; return how long somebody else waits."""
    waiting = [await open_one(site) for _ in range(idle)]
    for _ in range(slow):
        reader, writer = await open_one(site)
        length = "Content-Type: application/json\r\nContent-Length: 1000\r\n"
        writer.write(head(site, "POST", "/runs", length) + b'{"job"')  # the rest never comes
        waiting.append((reader, writer))
        reader, writer = await open_one(site)
        export = f"/exports/monthly?month={site.tenants.closed}&format=json"
        writer.write(head(site, "GET", export))  # nobody reads
        waiting.append((reader, writer))
    seconds = max([await answered(site) for _ in range(5)])
    for _, writer in waiting:
        writer.close()
    return seconds


def test_slow_writers_and_readers_keep_nobody_waiting(site: Site) -> None:
    assert asyncio.run(crowd(site, 50, 20)) < 10


@pytest.mark.drill
def test_a_thousand_open_connections_keep_nobody_waiting(site: Site) -> None:
    allow_connections()
    port, url = free_port(), site.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-P", "-m", "fleetmeter.cli", "api", "--port", str(port)]
    with subprocess.Popen(command, env=os.environ | {"DATABASE_URL": url}) as server:
        alone = replace(site, address=f"http://127.0.0.1:{port}")
        until(lambda: answers(alone), pause=0.5)
        seconds = asyncio.run(crowd(alone, 900, 50))
        server.terminate()
    print(f"with 1,000 open connections an answer takes {seconds:.2f} s at most")
    assert seconds < 10


def answers(site: Site) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{site.address}/api/v1/openapi.json").status_code == 200
    return False
