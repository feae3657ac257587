"""Many clients at once, each on its own connection, with as little of their own work as HTTP allows."""

import asyncio
import time


async def ask(host: str, port: int, request: bytes, until: float, took: list[float]) -> None:
    """Ask again and again on one connection; append the milliseconds of each answer."""
    reader, writer = await asyncio.open_connection(host, port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), head
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        took.append((time.perf_counter() - began) * 1000)
    writer.close()


def run(port: int, path: str, clients: int, seconds: float, token: str | None = None) -> list[float]:
    """Return the milliseconds of every answer that `clients` got in that time."""
    bearer = "" if token is None else f"Authorization: Bearer {token}\r\n"
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}\r\n".encode()
    took: list[float] = []

    async def all_of_them() -> None:
        until = time.perf_counter() + seconds
        await asyncio.gather(*(ask("127.0.0.1", port, request, until, took) for _ in range(clients)))

    asyncio.run(all_of_them())
    return took
