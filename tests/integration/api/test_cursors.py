"""Cursors: whatever a client puts into one, the answer is a page or a sentence."""

import base64
import json
from typing import Any

import httpx
import pytest

from tests.support.api_site import Site

WRONG: tuple[Any, ...] = ("garbage", "", "2026-13-01", "\ud800", "NaN", None, -1, 1.5, 10**30, True, [], {})


def forged(cursor: str, key: list[Any]) -> str:
    """Return the cursor with another key, as anybody can write it."""
    question = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))[0]
    return base64.urlsafe_b64encode(json.dumps([question, *key]).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/projects", 1),
        ("/projects/{p}/hours?from={m}-01", 1),
        ("/projects/{p}/days", 1),
        ("/days?date={d}", 1),
        ("/months/{m}", 1),
        ("/missing", 2),
        ("/adjustments", 1),
        ("/runs", 1),
        ("/audit", 1),
        ("/spend", 1),
    ],
)
def test_a_cursor_with_another_key_is_refused(site: Site, path: str, parts: int) -> None:
    client, closed = site.clients["viewer"], site.tenants.closed
    url = httpx.URL(path.format(p=site.tenants.project, d=closed.last, m=closed))
    first = client.get(url.copy_merge_params({"limit": 1})).raise_for_status().json()
    assert first["next"]
    for wrong in WRONG:
        for key in ([wrong] * parts, [1, wrong], []):
            question = {"limit": 1, "cursor": forged(first["next"], key)}
            answer = client.get(url.copy_merge_params(question))
            assert answer.status_code == 422, (key, answer.text)
            assert answer.json()["type"] == "urn:fleetmeter:problem:cursor"
