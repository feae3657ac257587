"""The edge of the console: foreign hosts, origins and frames are kept out, and nothing private is cached."""

import re
import urllib.error
import urllib.request

import httpx
import pytest
from playwright.sync_api import Page
from websockets import Origin, Subprotocol
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from console.pages import TITLES
from tests.support.browser_site import Site, visit
from tests.support.drills import later
from tests.support.fleet import answer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]


def headers_of(address: str, **headers: str) -> dict[str, str]:
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
            return {name.lower(): value for name, value in response.headers.items()}
    except urllib.error.HTTPError as error:
        return {name.lower(): value for name, value in error.headers.items()}


def port_of(site: Site) -> str:
    return site.address.rpartition(":")[2]


@pytest.mark.parametrize("path", ["/", "/jobs", "/_stcore/health", "/healthz", "/nothing", "/media/none.csv"])
def test_every_answer_forbids_frames_sniffing_and_storing(site: Site, path: str) -> None:
    headers = headers_of(site.address + path)
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script-src 'self' 'sha256-" in headers["content-security-policy"]
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


def test_a_static_file_whose_name_has_a_digest_is_kept(site: Site) -> None:
    (script,) = re.findall(r'src="\.(/static/js/index\.[^"]+\.js)"', answer(site.address)[1])
    assert headers_of(site.address + script)["cache-control"] == "public, max-age=31536000, immutable"
    assert "immutable" not in headers_of(site.address + "/static/js/index.AAAAAAAA.js").get(
        "cache-control", ""
    )


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "192.0.2.1", ""]
)
def test_a_foreign_host_is_refused(site: Site, host: str) -> None:
    """A website whose name is made to lead to this machine would be its visitor's administrator."""
    assert answer(site.address, Host=host.format(port=port_of(site)))[0] == 421
    assert answer(f"{site.address}/healthz", Host=host.format(port=port_of(site)))[0] == 200


def test_a_refusal_at_the_api_is_a_problem(site: Site) -> None:
    url = f"{site.address}/api/v1/projects"
    for status, headers in ((421, {"Host": "evil.example"}), (403, {"Origin": "https://evil.example"})):
        refused = httpx.get(url, headers=headers)
        assert (refused.status_code, refused.json()["status"]) == (status, status)
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:9000", "[::1]:9000", "LOCALHOST", "localhost"])
def test_a_forwarded_port_of_this_machine_is_answered(site: Site, host: str) -> None:
    assert answer(site.address, Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    ["http://127.0.0.1:1", "http://localhost:{port}", "https://evil.example", "null", "http://127.0.0.1"],
)
def test_a_request_or_websocket_of_another_origin_is_refused(site: Site, origin: str) -> None:
    origin = origin.format(port=port_of(site))
    assert answer(f"{site.address}/_stcore/host-config", Origin=origin)[0] == 403
    with pytest.raises(InvalidStatus) as caught, stream(site, origin):
        pass
    assert caught.value.response.status_code == 403


def test_a_websocket_of_the_console_itself_is_let_in(site: Site) -> None:
    with stream(site, site.address) as line:
        assert line.subprotocol == "streamlit"


def stream(site: Site, origin: str) -> connect:  # type: ignore[valid-type]
    address = site.address.replace("http", "ws") + "/_stcore/stream"
    return connect(address, origin=Origin(origin), subprotocols=[Subprotocol("streamlit")])


@pytest.mark.parametrize("path", ["interact", "openapi.json", "mcp", "other"])
def test_the_interface_for_agents_is_off(site: Site, path: str) -> None:
    assert answer(f"{site.address}/_stcore/agent/{path}")[0] == 404
    assert answer(f"{site.address}/jobs/_stcore/agent/{path}")[0] == 404


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser logs as an error, and each answer that is one."""
    listed: list[str] = []
    page.on("console", lambda message: listed.append(message.text) if message.type == "error" else None)
    page.on("response", lambda response: listed.append(response.url) if response.status >= 400 else None)
    return listed


KEYS = ["", "jobs", *(later(name) for name in TITLES if name != "jobs")]


@pytest.mark.parametrize("key", KEYS)
def test_a_page_opened_by_its_address_makes_the_browser_log_no_error(
    page: Page, site: Site, complaints: list[str], key: str
) -> None:
    """Neither a 404 nor a violation of the policy."""
    visit(page, site, key)
    assert complaints == []
