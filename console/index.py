"""Streamlit's index page, told where the server is, and that a swipe on a chart scrolls.

Without that, a page opened by its address tries `/<page>/_stcore/…` first, and the browser logs two errors.
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
# Plotly takes each touch for the beginning of a drag, so a swipe on a chart would not scroll the page.
# Without the touch, the browser scrolls, and a tap arrives as a click. The slider below a chart is dragged.
TOUCH = """<script>addEventListener('touchstart', event => {
  if (event.target.closest?.('.stPlotlyChart') && !event.target.closest('.rangeslider-container, .modebar'))
    event.stopPropagation();
}, {capture: true, passive: true})</script>"""
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def html() -> str:
    """Return the index page with both scripts in it."""
    return SOURCE.read_text(encoding="utf-8").replace("<head>", f"<head>{SERVER}{TOUCH}", 1)


@cache
def script_hashes() -> str:
    """Return the hashes of the page's inline scripts, for a Content-Security-Policy."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html()))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


async def _index(_request: Request) -> Response:
    return HTMLResponse(html())


ROUTES = [Route(f"/{key}", _index) for key in ("", *TITLES) if key != "overview"]
