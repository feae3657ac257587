"""An OpenID Connect provider over HTTP: discovery, authorize with a form, token, keys, userinfo, logout.

Codes are of one use and bound to client, address and PKCE; ID tokens are signed with RS256. `spoil`
changes what the next token says, as a faulty provider or an attacker on the way would.
"""

import base64
import hashlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any
from urllib.parse import urlencode

import uvicorn
from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "fleetmeter-console", "only-the-two-of-us-know"

FORM = """<form method=post action="?{}"><label>Account <input name=account></label>
    <button>Continue</button></form>"""


class Provider:
    """The provider and its accounts: `people` maps each typed name to the claims of its ID token."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.people: dict[str, dict[str, Any]] = {}
        self.reset()
        self._key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self._other = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self._codes: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.exchanged = 0
        self.signed_out = 0

    def reset(self) -> None:
        """Restore the behaviour of a correct provider."""
        self.spoil: dict[str, Any] = {}
        self.wrong_key = False
        self.by_hand = False  # a link back instead of a redirect, to be changed on the way
        self.lives = 3600.0  # seconds from the sign-in to `exp`

    @property
    def metadata_url(self) -> str:
        return f"{self.address}/.well-known/openid-configuration"

    def routes(self) -> list[Route]:
        return [
            Route("/.well-known/openid-configuration", self.discover),
            Route("/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/token", self.token, methods=["POST"]),
            Route("/keys", self.keys),
            Route("/userinfo", self.userinfo),
            Route("/logout", self.logout),
        ]

    async def discover(self, _request: Request) -> Response:
        ends = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "jwks_uri": "keys",
            "userinfo_endpoint": "userinfo",
            "end_session_endpoint": "logout",
        }
        return JSONResponse(
            {"issuer": self.address, **{name: f"{self.address}/{path}" for name, path in ends.items()}}
            | {
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            }
        )

    async def authorize(self, request: Request) -> Response:
        query = request.query_params
        if query.get("client_id") != CLIENT or "openid" not in query.get("scope", ""):
            return Response("unknown client or scope", 400)
        if request.method == "GET":
            return HTMLResponse(FORM.format(escape(str(query))))
        account = str((await request.form())["account"])
        if account not in self.people:
            return RedirectResponse(_with(query, error="access_denied"), 302)
        code = secrets.token_urlsafe(16)
        self._codes[code] = (account, dict(query))
        back = _with(query, code=code)
        if self.by_hand:
            return HTMLResponse(f'<a href="{escape(back)}">Back</a>')
        return RedirectResponse(back, 302)

    async def token(self, request: Request) -> Response:
        form = await request.form()
        basic = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != basic:
            return JSONResponse({"error": "invalid_client"}, 401)
        account, query = self._codes.pop(str(form["code"]), ("", {}))
        digest = hashlib.sha256(str(form.get("code_verifier", "")).encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if (
            not account
            or query["redirect_uri"] != form["redirect_uri"]
            or query["code_challenge"] != challenge
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.exchanged += 1
        tokens = {"access_token": account, "token_type": "Bearer", "expires_in": 60}
        return JSONResponse(tokens | {"id_token": self._id_token(account, query)})

    async def keys(self, _request: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def userinfo(self, request: Request) -> Response:
        account = request.headers.get("authorization", "").removeprefix("Bearer ")
        return JSONResponse({"sub": account} | self.people[account])

    async def logout(self, request: Request) -> Response:
        self.signed_out += 1
        return RedirectResponse(request.query_params["post_logout_redirect_uri"], 302)

    def _id_token(self, account: str, query: Mapping[str, str]) -> str:
        now = time.time()
        claims = {"iss": self.address, "aud": CLIENT, "sub": account, "nonce": query["nonce"]}
        claims |= {"iat": int(now), "exp": int(now + self.lives)} | self.people[account] | self.spoil
        return jwt.encode(
            {"alg": "RS256", "kid": "one"}, claims, self._other if self.wrong_key else self._key
        )


def _with(query: Mapping[str, str], **more: str) -> str:
    return f"{query['redirect_uri']}?{urlencode({'state': query['state']} | more)}"


@contextmanager
def provider() -> Iterator[Provider]:
    """Serve a provider on a free port of loopback; yield it."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    oidc_provider = Provider(f"http://127.0.0.1:{listener.getsockname()[1]}")
    config = uvicorn.Config(Starlette(routes=oidc_provider.routes()), log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield oidc_provider
    finally:
        server.should_exit = True
        thread.join(10)
