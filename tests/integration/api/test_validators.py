"""What a cache may keep: an answer is known by its ETag and by nothing else."""

from email.utils import format_datetime

import pytest

from tests.support.api_site import Site

PATHS = (
    *("/projects", "/projects/{p}", "/projects/{p}/hours", "/projects/{p}/days", "/projects/{p}/months"),
    *("/days?date={d}", "/months/{m}", "/missing", "/projects/{p}/coverage/{d}", "/projects/{p}/limits"),
    *("/organizations/{o}/limits", "/limits/check?check=storage&project={p}", "/projects/{p}/explain/{m}"),
    *("/adjustments", "/runs", "/runs/1", "/audit", "/projects/{p}/devices"),
)


def path_of(site: Site, path: str) -> str:
    tenants = site.tenants
    named = {"p": tenants.project, "o": tenants.organization, "m": tenants.closed, "d": tenants.closed.last}
    return path.format(**named)


@pytest.mark.parametrize("path", PATHS)
def test_only_an_etag_says_that_nothing_has_changed(site: Site, path: str) -> None:
    client, path = site.clients["viewer"], path_of(site, path)
    first = client.get(path).raise_for_status()
    since = first.headers.get("last-modified", format_datetime(site.tenants.closed.start, usegmt=True))
    assert client.get(path, headers={"If-Modified-Since": since}).status_code == 200
    known = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
