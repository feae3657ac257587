"""Streamlit's index page with the server's address and the console's own script and style.

Without the address, a page opened by its address tries `/<page>/_stcore/…`, and the browser logs two errors.
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
from console.ui import room

SOURCE = Path(streamlit.__file__).parent / "static" / "index.html"
# Read by Streamlit's browser side; a private part, which pins its minor version (pyproject.toml).
SERVER = "<script>window.__streamlit = {BACKEND_BASE_URL: window.location.origin + '/'}</script>"
NARROW = 640  # pixels: cards instead of columns, as in console.css
EARLY = ("Html", "StreamlitMarkdown", "TextInput", "Selectbox", "PageLink", "Metric", "BaseButton", "Button")
HERE = Path(__file__).parent
_INLINE = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@cache
def html() -> str:
    """Return the index page with the server's address and the console's script and style in it."""
    script, style = ((HERE / name).read_text(encoding="utf-8") for name in ("console.js", "console.css"))
    own = f"{SERVER}<script>{script}</script><style>{style}{room.css(NARROW)}</style>{_preloads()}"
    return SOURCE.read_text(encoding="utf-8").replace("<head>", f"<head>{own}", 1)


def _preloads() -> str:
    """Return links to the modules that every page needs: loaded late, they would move the elements below."""
    files = (next(SOURCE.parent.glob(f"static/js/{name}.*.js"), None) for name in EARLY)
    paths = (file.relative_to(SOURCE.parent).as_posix() for file in files if file)
    return "".join(f"<link rel='modulepreload' crossorigin href='./{path}'>" for path in paths)


@cache
def script_hashes() -> str:
    """Return the hashes of the page's inline scripts, for a Content-Security-Policy."""
    digests = (hashlib.sha256(script.encode()).digest() for script in _INLINE.findall(html()))
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


async def _index(_request: Request) -> Response:
    return HTMLResponse(html())


ROUTES = [Route(f"/{key}", _index) for key in ("", *TITLES) if key != "overview"]
