"""Around Streamlit's sign-in: back to the requested page, and cookies that never cross plain HTTP.

Streamlit leads everybody who signed in to the first page, and marks no cookie as Secure, since it
does not know whether there is TLS in front of it. The redirect address says so.
"""

from urllib.parse import quote, unquote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.pages import TITLES
from metering.config.oidc import CALLBACK

LOGIN = "/auth/login"
COOKIE = "fleetmeter_return_to"
MINUTES = 10  # to sign in in


class ReturnTo:
    """ASGI middleware for a console that people reach at `origin`, such as https://fleet.example.com."""

    def __init__(self, app: ASGIApp, origin: str) -> None:
        self.app = app
        self.origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Remember the requested page during the sign-in, and return there afterwards."""
        if scope["type"] != "http" or scope["path"] not in (LOGIN, CALLBACK):
            await self.app(scope, receive, send)
            return
        request = Request(scope)

        async def send_with_return(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._set_headers(request, MutableHeaders(scope=message))
            await send(message)

        await self.app(scope, receive, send_with_return)

    def _set_headers(self, request: Request, headers: MutableHeaders) -> None:
        if request.url.path == LOGIN:
            here = page_of(request.headers.get("referer", ""), self.origin)
            headers.append("set-cookie", f"{COOKIE}={quote(here, safe='')}; {self._attributes(60 * MINUTES)}")
        elif COOKIE in request.cookies:
            if headers.get("location") == "/":
                headers["location"] = page_of(self.origin + unquote(request.cookies[COOKIE]), self.origin)
            headers.append("set-cookie", f"{COOKIE}=; {self._attributes(0)}")
        if self.origin.startswith("https:"):
            cookies = headers.getlist("set-cookie")
            del headers["set-cookie"]
            for cookie in cookies:
                headers.append("set-cookie", cookie if "; secure" in cookie.lower() else f"{cookie}; Secure")

    @staticmethod
    def _attributes(seconds: int) -> str:
        return f"Path={CALLBACK}; Max-Age={seconds}; HttpOnly; SameSite=Lax"


def page_of(address: str, origin: str) -> str:
    """Return the console's page in `address` with its query; the first page for any other address."""
    parts = urlsplit(address)
    key = parts.path.removeprefix("/")
    if f"{parts.scheme}://{parts.netloc}" != origin or key not in TITLES:
        return "/"
    return f"/{key}?{quote(parts.query, safe='=&%+')}" if parts.query else f"/{key}"
