"""The console's server: Streamlit's pages and, beside them, probes for machines."""

import gc
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console import pages, probes, server
from console.access.loopback_only import LoopbackOnly
from console.access.return_to import ReturnTo
from console.ahead import Ahead
from console.data import spending
from console.ui import error_boundary
from console.views.overview import page as overview
from metering.config.settings import Settings, load_settings
from metering.errors import SettingsError

# Seconds a thread may keep the interpreter while others wait. A page gives it up with each of its parts
# that it sends; at Python's 5 ms it waits as often for whoever computes beside it, such as the rating.
SWITCH = 0.001
HEAVY = ("pandas", "pyarrow.pandas_compat", "PIL.Image")  # what Streamlit loads at the first table and icon


def _send_at_once() -> None:
    """Take Nagle's delay off the server's socket; those it accepts inherit that.

    asyncio does so only for sockets made with a protocol number, which Streamlit's are not: each click
    waited 40 ms for the browser's acknowledgement of its first answer.
    """
    for found in gc.get_objects():
        tcp = isinstance(found, socket.socket) and found.family in (socket.AF_INET, socket.AF_INET6)
        if tcp and found.type == socket.SOCK_STREAM and found.fileno() >= 0:
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Load every page, then take what that made out of the collector's sight.

    With pandas loaded one full collection stops the server for a tenth of a second.
    """
    for name in (*HEAVY, *(f"console.views.{key}.page" for key in pages.TITLES)):
        import_module(name)
    sys.setswitchinterval(SWITCH)
    _send_at_once()
    gc.collect()
    gc.freeze()
    threading.Thread(target=_look_first, daemon=True).start()
    yield {}


def _look_first() -> None:
    """Read what the first visitor sees. What goes wrong, the page says when somebody looks."""
    with suppress(Exception):
        overview.read(None)
        spending.latest(None)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(f"fleetmeter: {error}")


def _around(found: Settings) -> list[Middleware]:
    guard, ahead = Middleware(probes.Guard), Middleware(Ahead)
    if found.sign_in:
        return [ahead, guard, Middleware(ReturnTo, origin=server.origin(found))]
    # A website whose name is made to lead to this machine would be its visitor's administrator.
    named = Middleware(TrustedHostMiddleware, allowed_hosts=server.OWN_NAMES, www_redirect=False)
    return [Middleware(LoopbackOnly), named, ahead, guard]


async def _overview(request: Request) -> Response:
    """The first page by its name: Streamlit knows it at / only."""
    return RedirectResponse(str(request.url.replace(path="/", scheme="", netloc="")))


found = _settings()
server.refuse_public(st.get_option("server.address"), found)
app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[*probes.ROUTES, Route("/overview", _overview)],
    lifespan=lifespan,
    on_script_error=error_boundary.show,
    middleware=_around(found),
    secrets=server.secrets(found),
)
