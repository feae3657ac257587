"""Streamlit's index page, told where the server is, with the console's own script (`console.js`) in it.

Without the first, a page opened by its address tries `/<page>/_stcore/…`, and the browser logs two errors.
"""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from console.pages import TITLES

SOURCE = Path(streamlit.__file__).parent / "static" / "index.html"
# Read by Streamlit's browser side; a private part, which pins its minor version (pyproject.toml).
SERVER = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin + '/'}</script>"
OWN = Path(__file__).with_name("console.js")
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def html() -> str:
    """Return the index page with the server's address and the console's script in it."""
    own = f"<script>{OWN.read_text(encoding='utf-8')}</script>"
    return SOURCE.read_text(encoding="utf-8").replace("<head>", f"<head>{SERVER}{own}", 1)


@cache
def script_hashes() -> str:
    """Return the hashes of the page's inline scripts, for a Content-Security-Policy."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html()))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


async def _index(_request: Request) -> Response:
    return HTMLResponse(html())


ROUTES = [Route(f"/{key}", _index) for key in ("", *TITLES) if key != "overview"]
