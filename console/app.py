"""The console's server: Streamlit's pages and, beside them, probes for machines."""

import gc
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from api import app as api
from console import index, pages, probes, server
from console.access.edge import Edge
from console.access.loopback_only import LoopbackOnly
from console.access.return_to import ReturnTo
from console.data import spending
from console.ui import error_boundary
from console.views.overview import page as overview
from metering import logs
from metering.config.settings import Settings, load_settings
from metering.errors import SettingsError


@asynccontextmanager
async def lifespan(_app: Any) -> AsyncIterator[dict[str, Any]]:
    """Load every page and its libraries before the first request."""
    for name in ("pandas", *(f"console.views.{key}.page" for key in pages.TITLES)):
        import_module(name)
    # A full collection over the objects of these imports stops the server for a tenth of a second.
    gc.collect()
    gc.freeze()
    threading.Thread(target=_fill_caches, daemon=True).start()
    yield {}


def _fill_caches() -> None:
    """Fill the caches of the first page. An error is shown by the page itself, when it is opened."""
    with suppress(Exception):
        overview.query(None)
        spending.latest(None)


def _settings() -> Settings:
    try:
        return load_settings()
    except SettingsError as error:
        sys.exit(f"fleetmeter: {error}")


def _middleware(settings: Settings) -> list[Middleware]:
    edge, guard = Middleware(Edge, settings=settings), Middleware(probes.Guard)
    if settings.sign_in:
        return [edge, guard, Middleware(ReturnTo, origin=server.origin(settings))]
    return [Middleware(LoopbackOnly), edge, guard]


async def _overview(request: Request) -> Response:
    """Redirect the first page's name to /, the only address at which Streamlit knows it."""
    return RedirectResponse(str(request.url.replace(path="/", scheme="", netloc="")))


def _api(settings: Settings) -> Mount:
    """Return the HTTP API, under the addresses that it has without the console as well."""
    served = api.create(settings)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        # A mount cuts its path off; the API's own addresses begin with it.
        await served({**scope, "root_path": scope.get("app_root_path", "")}, receive, send)

    return Mount("/api", app=answer)


# structlog's own default prints the variables of each function in a traceback, and so tokens.
logs.configure()
settings = _settings()
server.refuse_public(st.get_option("server.address"), settings)
app = st.App(
    Path(__file__).with_name("main.py"),
    routes=[_api(settings), *probes.ROUTES, *index.ROUTES, Route("/overview", _overview)],
    lifespan=lifespan,
    on_script_error=error_boundary.render_error,
    middleware=_middleware(settings),
    secrets=server.secrets(settings),
)
