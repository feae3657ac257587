"""After signing in: back to a page of the console and nowhere else, and cookies over TLS only."""

from urllib.parse import quote

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access.return_to import COOKIE, ReturnTo, page_of

FLEET = "https://fleet.example"


@pytest.mark.parametrize(
    ("address", "page"),
    [
        (f"{FLEET}/billing?month=2026-10", "/billing?month=2026-10"),
        (f"{FLEET}/project?project=7&days=90", "/project?project=7&days=90"),
        (f"{FLEET}/jobs", "/jobs"),
        (f"{FLEET}/", "/"),
        (f"{FLEET}/auth/logout", "/"),
        (f"{FLEET}//evil.example/billing", "/"),
        ("https://evil.example/billing", "/"),
        (f"{FLEET}@evil.example/billing", "/"),
        (f"{FLEET}/billing?a=\r\nset-cookie: b=c", "/billing?a=set-cookie%3A%20b=c"),
        ("", "/"),
    ],
)
def test_the_return_address_is_a_page_of_the_console(address: str, page: str) -> None:
    assert page_of(address, FLEET) == page


def get(path: str, origin: str = FLEET, **headers: str) -> httpx.Response:
    async def answer(_request: object) -> Response:
        response = RedirectResponse("/")
        response.set_cookie("_streamlit_user", "ann", httponly=True)
        return response

    inner = Starlette(routes=[Route("/{rest:path}", answer)])
    transport = httpx.ASGITransport(app=ReturnTo(inner, origin))

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url=origin) as client:
            return await client.get(path, headers=headers)

    return anyio.run(ask)


def test_a_sign_in_remembers_where_it_began_and_leads_back_there() -> None:
    began = get("/auth/login", referer=f"{FLEET}/billing?month=2026-10")
    cookie = began.headers.get_list("set-cookie")[-1]
    assert cookie.startswith(f"{COOKIE}={quote('/billing?month=2026-10', safe='')}; Path=/oauth2callback;")
    ended = get("/oauth2callback", cookie=cookie.split(";")[0])
    assert ended.headers["location"] == "/billing?month=2026-10"
    assert f"{COOKIE}=; " in ended.headers.get_list("set-cookie")[-1]


def test_a_cookie_that_somebody_planted_leads_nowhere_else() -> None:
    planted = quote("@evil.example/billing", safe="")
    assert get("/oauth2callback", cookie=f"{COOKIE}={planted}").headers["location"] == "/"


@pytest.mark.parametrize("path", ["/auth/login", "/oauth2callback"])
def test_cookies_are_secure_where_there_is_tls(path: str) -> None:
    cookies = get(path, cookie=f"{COOKIE}=x").headers.get_list("set-cookie")
    assert cookies
    assert all("; Secure" in cookie for cookie in cookies)
    plain = get(path, "http://127.0.0.1:8501", cookie=f"{COOKIE}=x").headers.get_list("set-cookie")
    assert not any("Secure" in cookie for cookie in plain)
