"""HEAD: the head of what GET answers, without its body."""

import pytest

from tests.support.api_paths import PATHS, address
from tests.support.api_site import Site

CHANGES = ("age_seconds", "date", "x-request-id")


@pytest.mark.parametrize("path", PATHS)
def test_head_is_answered_where_get_is(site: Site, path: str) -> None:
    client, url = site.clients["viewer"], address(path, site.tenants)
    head, get = client.head(url), client.get(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers.get("etag") == get.headers.get("etag")
    assert head.headers["content-type"] == get.headers["content-type"]
    assert client.head(url, headers={"If-None-Match": get.headers["etag"]}).status_code == 304


def test_head_takes_a_token_and_no_address_that_only_changes(site: Site) -> None:
    refused = site.clients["viewer"].head("/usage")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert site.clients["viewer"].delete("/projects").headers["allow"] == "GET, HEAD"
    assert site.clients["viewer"].head("/projects", headers={"Authorization": "none"}).status_code == 401
