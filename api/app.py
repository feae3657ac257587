"""The application: every address under /api/v1, with problem details for every error."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio.to_thread
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api import openapi, probes, problems, reference
from api.context import Context
from api.edge import Edge
from api.problems import Problem
from api.routes import (
    adjustments,
    audit,
    devices,
    exports,
    limits,
    money,
    periods,
    projects,
    quality,
    runs,
    usage,
)
from metering.config.settings import Settings

PREFIX = "/api/v1"
SUBJECTS = (projects, periods, devices, quality, limits, money, adjustments, runs, exports, audit, usage)
DESCRIPTION = "Usage, bills and jobs. Unknown is null, never zero; instants are in UTC; money is text."


def create(settings: Settings) -> FastAPI:
    """Return the application, the same alone and in the console's server."""
    app = FastAPI(
        lifespan=_lifespan,
        title="Fleetmeter",
        version="1",
        description=DESCRIPTION,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.context = Context(settings)
    app.openapi = partial(openapi.describe, app)  # type: ignore[method-assign]
    app.add_route(f"{PREFIX}/docs", _reference, include_in_schema=False)
    probes.add_to(app)
    for subject in SUBJECTS:
        app.include_router(subject.router, prefix=PREFIX)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(Edge)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Work in as many threads as there are connections: more would only wait for one.

    Runs where the API is served alone; the console's server has threads of its own.
    """
    pool = app.state.context.settings.db_pool_size + 10  # SQLAlchemy's overflow
    anyio.to_thread.current_default_thread_limiter().total_tokens = pool
    gc.collect()
    gc.freeze()
    yield


async def _reference(request: Request) -> Response:
    return HTMLResponse(reference.page(openapi.describe(request.app)))


async def _invalid(_request: Request, error: Any) -> Response:
    errors = [
        {"where": ".".join(str(part) for part in problem["loc"]), "what": problem["msg"]}
        for problem in error.errors()
    ]
    first = errors[0]
    return problems.response(Problem(422, f"{first['where']}: {first['what']}", errors=errors))


async def _http(request: Request, error: Any) -> Response:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        detail = "there is nothing at this address; the addresses are in /api/v1/openapi.json"
    elif error.status_code == 405:
        detail = f"this address does not take {request.method}"
        headers["Allow"] = ", ".join(_methods(request))
    else:
        detail = str(error.detail)
    return problems.response(Problem(error.status_code, detail, headers=headers))


def _methods(request: Request) -> list[str]:
    """Return the methods that the address takes; several routes may share it."""
    methods: set[str] = set()
    for subject in SUBJECTS:
        for route in subject.router.routes:
            if isinstance(route, APIRoute) and route.path_regex.match(request.url.path.removeprefix(PREFIX)):
                methods |= route.methods or set()
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
