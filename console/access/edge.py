"""The middleware at the console's edge: who may ask, and what a browser may do with the answer.

Hosts and origins are checked before Streamlit's own check, which would look up this machine's external
address for a foreign origin, and which does not compare ports.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.web.server.starlette import starlette_websocket as cookies  # private: the minor is pinned
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from api import problems
from api.problems import Problem
from console import index, server
from console.access import identity, revocation
from console.data import database
from console.data.session import now
from metering.config.settings import Settings, current_settings
from metering.errors import FleetmeterError

# Machines ask these under any name of the console: a probe's answer is no secret.
PROBES = ("/healthz", "/readyz", "/_stcore/health")
# These with sign-in only, where they take a token: without it, a website could read them by DNS rebinding.
API = "/api/"
WITH_TOKEN = ("/metrics", "/_stcore/metrics", API)
AGENT = "/_stcore/agent"
MEDIA = "/media/"
DIGEST = re.compile(r"/static/.*\.[\w-]{8,}\.\w+$")  # a file whose name changes with its content
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' {hashes}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

FOREIGN_HOST = PlainTextResponse("fleetmeter: this is not the console's address\n", status_code=421)
FOREIGN_ORIGIN = PlainTextResponse("fleetmeter: the request comes from another website\n", status_code=403)
NOT_FOUND = PlainTextResponse("fleetmeter: there is nothing here\n", status_code=404)
# To a program at the API, as it answers itself.
PROBLEMS: dict[ASGIApp, Response] = {
    FOREIGN_HOST: problems.response(Problem(421, "this is not the console's address")),
    FOREIGN_ORIGIN: problems.response(
        Problem(403, "the request comes from another website", "foreign-origin")
    ),
}
SIGN_IN = PlainTextResponse("fleetmeter: sign in to get this file\n", status_code=401)


class Edge:
    """ASGI middleware that refuses foreign hosts and origins and adds the headers of security."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self.host = urlsplit(server.origin(settings)).netloc if settings.sign_in else None
        self.guarded = settings.sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse requests of other hosts and origins; add the security headers."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        path = scope["path"]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _set_headers(path, message["status"], MutableHeaders(scope=message))
            await send(message)

        answer = self._refusal(scope) or self.app
        if path.startswith(API):
            answer = PROBLEMS.get(answer, answer)
        if answer is self.app and self.guarded and path.startswith(MEDIA):
            allowed = await run_in_threadpool(_is_signed_in, Headers(scope=scope))
            answer = self.app if allowed else SIGN_IN
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        headers, path = Headers(scope=scope), scope["path"]
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        # DNS rebinding: a site whose name resolves to 127.0.0.1 would act as the local administrator.
        by_machines = path in PROBES or (self.guarded and path.startswith(WITH_TOKEN))
        if not by_machines and not _is_own(host, self.host):
            return FOREIGN_HOST
        if origin is not None and urlsplit(origin.lower()).netloc != host:
            return FOREIGN_ORIGIN
        if AGENT in path:
            return NOT_FOUND
        return None


def _is_own(host: str, public: str | None) -> bool:
    if public is not None and host == public.lower():
        return True
    name = host.rpartition(":")[0] if re.search(r":\d+$", host) else host
    return name in server.OWN_NAMES


def _is_signed_in(headers: Mapping[str, str]) -> bool:
    """Return whether the request carries the cookie of a sign-in that counts now."""
    settings = current_settings()
    decoded = cookies._get_signed_cookie_with_chunks(
        cookie_parser(headers.get("cookie", "")), USER_COOKIE_NAME
    )
    if decoded is None:
        return False
    claims: dict[str, Any] = cookies._parse_decoded_user_cookie(decoded, server.origin(settings))
    try:
        identity.identify(claims, settings, now())
        return revocation.mark_of(claims) not in revocation.ended(database.key())
    except FleetmeterError:
        return False


def _set_headers(path: str, status: int, headers: MutableHeaders) -> None:
    headers["Content-Security-Policy"] = POLICY.format(hashes=index.script_hashes())
    headers["X-Frame-Options"] = "DENY"
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"  # the way back after sign-in reads it
    html = headers.get("content-type", "").startswith("text/html")  # what a missing file is answered with
    if status == 200 and DIGEST.search(path) and not html:
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    elif not path.startswith(API) and (html or "/static/" not in path):
        headers["Cache-Control"] = "no-store"
