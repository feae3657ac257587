"""Serve the API alone, by uvicorn."""

import sys

import uvicorn

from api import app
from metering.config.settings import Settings

KEEP_ALIVE = 75  # seconds that an idle connection stays open
BACKLOG = 2_048


def allow_connections() -> None:
    """Let this process open as many files as it may: each connection is one."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not on every system

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def serve(settings: Settings, port: int) -> None:
    """Serve on FLEETMETER_API_ADDRESS until stopped. Each request needs a token, wherever it comes from."""
    allow_connections()
    uvicorn.run(
        app.create(settings),
        host=settings.api_address,
        port=port,
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=10,
        backlog=BACKLOG,
        loop="uvloop" if sys.platform != "win32" else "auto",
        http="httptools",
    )
