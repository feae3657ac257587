"""Answer this machine only where nobody signs in, however the server was started."""

from ipaddress import ip_address

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

REFUSAL = PlainTextResponse(
    "fleetmeter: without sign-in the console answers this machine only; set FLEETMETER_OIDC_*\n",
    status_code=403,
)


class LoopbackOnly:
    """ASGI middleware that refuses connections to another address than loopback.

    `server.refuse_public` ends the process that Streamlit starts; another ASGI server has its own address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests that do not come from this machine."""
        answer = self.app if scope["type"] == "lifespan" or is_loopback(scope.get("server")) else REFUSAL
        await answer(scope, receive, send)


def is_loopback(reached: tuple[str, int | None] | None) -> bool:
    """Return whether a connection to that address and port is local; a socket file's port is None."""
    if reached is None:
        return False
    address, port = reached
    try:
        return port is None or ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
