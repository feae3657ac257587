"""What a cache may keep: an answer is known by its ETag and by nothing else."""

from datetime import datetime
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from tests.support.api_paths import PATHS, address
from tests.support.api_site import Site
from tests.support.two_tenants import PROJECTS


@pytest.mark.parametrize("path", PATHS)
def test_only_an_etag_says_that_nothing_has_changed(site: Site, path: str) -> None:
    client, url = site.clients["viewer"], address(path, site.tenants)
    first = client.get(url).raise_for_status()
    since = first.headers.get("last-modified", format_datetime(site.tenants.closed.start, usegmt=True))
    assert client.get(url, headers={"If-Modified-Since": since}).status_code == 200
    unchanged = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert "Accept-Encoding" in first.headers["vary"]
    assert client.get(url, headers={"Accept": "image/png"}).status_code == 406


def test_a_list_says_when_its_newest_row_was_written(site: Site) -> None:
    client = site.clients["viewer"]
    for path in (f"/months/{site.tenants.closed}", f"/projects/{PROJECTS[0]}"):
        answered = client.get(path).raise_for_status()
        body = answered.json()
        rows = body.get("items", [body])
        newest = max(row.get("created_at") or row["updated_at"] for row in rows)
        written = datetime.fromisoformat(newest).replace(microsecond=0)
        assert parsedate_to_datetime(answered.headers["last-modified"]) == written


def test_an_export_is_compressed_and_in_the_form_that_is_accepted(site: Site) -> None:
    client, url = site.clients["viewer"], address("/exports/monthly", site.tenants)
    plain = client.get(url, headers={"Accept-Encoding": "identity"})
    packed = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.text == plain.text
    assert packed.headers["etag"] == plain.headers["etag"]
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert client.get(url, headers={"Accept": "application/json"}).json()
    assert client.get(f"{url}&format=csv", headers={"Accept": "application/json"}).status_code == 406
    parquet = client.get(f"{url}&format=parquet", headers={"Accept-Encoding": "gzip"})
    assert parquet.content[:4] == b"PAR1"
    assert "content-encoding" not in parquet.headers
