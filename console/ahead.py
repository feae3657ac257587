"""Tells the browser, with the first page, which of Streamlit's scripts it will need.

Streamlit loads the script of each kind of element when the first one arrives, which is after its main
script ran and the page's own came through the web socket: two waits in a row for what is known before.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import streamlit
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# What every page shows. Grids and charts are left out: they would delay the figures before them.
NEEDED = ("Html/Html.tsx", "Button/Button.tsx", "Metric/Metric.tsx", "PageLink/PageLink.tsx")
MANIFEST = Path(streamlit.__file__).parent / "static" / "manifest.json"
Manifest = Mapping[str, Mapping[str, Any]]


class Ahead:
    """ASGI middleware that adds `Link: …; rel=modulepreload` to pages."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if links() and headers.get("content-type", "").startswith("text/html"):
                    headers.append("link", links())
            await send(message)

        await self.app(scope, receive, told)


@cache
def links() -> str:
    """The header's value; empty where this Streamlit says nothing about its scripts."""
    try:
        manifest: Manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
        files = list(ahead(manifest, NEEDED))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return ", ".join(f'<./{file}>; rel="modulepreload"; crossorigin' for file in files)


def ahead(manifest: Manifest, needed: Sequence[str]) -> Iterator[str]:
    """The scripts behind elements whose sources end like that, but what the page itself names."""
    seen = set(_closure(manifest, "index.html"))
    for entry in (key for name in needed for key in manifest if key.endswith(name)):
        for key in _closure(manifest, entry):
            if key not in seen:
                seen.add(key)
                yield manifest[key]["file"]


def _closure(manifest: Manifest, key: str) -> Iterator[str]:
    """`key`, and what it imports, and so on; each once."""
    waiting, seen = [key], set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            yield one
            waiting += manifest[one].get("imports", [])
