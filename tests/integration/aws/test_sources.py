"""S3 and ECR over the wire: every page, each project by itself, and what fails stays unknown."""

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from sqlalchemy import Engine

from collectors.aws.ecr import ECR
from collectors.aws.s3 import S3
from fleetmeter.demo.cloud import denying
from metering.config.settings import Settings, load_settings
from tests.support import retries
from tests.support.platform import Platform

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
REPOSITORY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/compositions"


@pytest.fixture
def keys(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    retries.at_once(monkeypatch)


@pytest.fixture
def cloud(configured: Settings, keys: None) -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def client(service: Any, cloud: str) -> Any:
    return boto3.client(service, endpoint_url=cloud, region_name="eu-west-1")


def settings_for(endpoint: str, **more: Any) -> Settings:
    return load_settings(aws_endpoint_url=endpoint, aws_region=("eu-west-1",), **more)


def test_s3_counts_every_page_of_each_prefix(
    cloud: str, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")
    organization = platform.organization()
    one, other, empty = (platform.project(organization) for _ in range(3))
    storage = client("s3", cloud)
    bucket = "bucket-with-pages"
    storage.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for number in range(105):
        storage.put_object(Bucket=bucket, Key=f"{organization}/{one}/{number}", Body=b"x")
    storage.put_object(Bucket=bucket, Key=f"{organization}/{other}/ü = +/名", Body=b"12345")
    storage.put_object(Bucket=bucket, Key=f"{organization}/{one}0/neighbour", Body=b"not one's")
    measured = S3.refresh(settings_for(cloud, s3_bucket=bucket), engine, AT)
    assert (measured.projects, measured.failures) == (3, {})
    rows = platform.rows("SELECT project_id, total_s3_storage_bytes FROM project_stats ORDER BY 1")
    assert rows == [(one, 105), (other, 5), (empty, 0)]


def test_a_source_that_is_not_configured_says_so(configured: Settings, engine: Engine) -> None:
    for source in (S3, ECR):
        measured = source.refresh(configured, engine, AT)
        assert "is not configured" in measured.sentence


def test_a_missing_bucket_leaves_the_last_known_value(cloud: str, engine: Engine, platform: Platform) -> None:
    project = platform.project()
    platform.sql(
        """INSERT INTO project_stats
            (project_id, open_from, updated_at, total_s3_storage_bytes, s3_measured_at)
        VALUES (:id, :at, :at, 77, '2026-11-20Z')""",
        id=project,
        at=AT,
    )
    measured = S3.refresh(settings_for(cloud, s3_bucket="no-such-bucket-anywhere"), engine, AT)
    reason = "the bucket no-such-bucket-anywhere (eu-west-1) does not exist; correct S3_BUCKET"
    assert {number: str(failure) for number, failure in measured.failures.items()} == {project: reason}
    assert platform.rows("SELECT total_s3_storage_bytes, s3_measured_at FROM project_stats") == [
        (77, datetime(2026, 11, 20, tzinfo=UTC))
    ]


def test_one_denied_prefix_does_not_stop_the_others(
    keys: None, configured: Settings, engine: Engine, platform: Platform
) -> None:
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    organization = platform.organization()
    denied, allowed = platform.project(organization), platform.project(organization)
    application = denying(DomainDispatcherApplication(create_backend_app), f"{organization}/{denied}/")
    server = make_server("127.0.0.1", 0, application, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    bucket = "bucket-denied"
    client("s3", endpoint).create_bucket(
        Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    measured = S3.refresh(settings_for(endpoint, s3_bucket=bucket), engine, AT)
    server.shutdown()
    assert list(measured.failures) == [denied], measured.failures
    assert "access denied" in str(measured.failures[denied])
    assert platform.rows("SELECT project_id FROM project_stats WHERE s3_measured_at IS NOT NULL") == [
        (allowed,)
    ]


def test_an_absent_cloud_is_a_reason_for_each_project(
    keys: None, configured: Settings, engine: Engine, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = platform.project()
    absent = settings_for("http://127.0.0.1:9", s3_bucket="b", ecr_repository_uri=REPOSITORY)
    for source in (S3, ECR):
        assert "cannot be reached" in str(source.refresh(absent, engine, AT).failures[project])


class Pages(BaseHTTPRequestHandler):
    """ECR's DescribeImages as documented: pages linked by nextToken, which moto does not do."""

    images: tuple[dict[str, Any], ...] = ()
    throttles = 0

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if Pages.throttles > 0:
            Pages.throttles -= 1
            return self._answer(400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
        start = int(body.get("nextToken", 0))
        page = {"imageDetails": self.images[start : start + 2]}
        if start + 2 < len(self.images):
            page["nextToken"] = str(start + 2)
        return self._answer(200, page)

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def registry(configured: Settings, keys: None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def image(digest: str, *tags: str, size: int = 10) -> dict[str, Any]:
    return {"imageDigest": f"sha256:{digest}", "imageTags": list(tags), "imageSizeInBytes": size}


def test_ecr_counts_each_image_of_every_page_once_for_its_project(
    registry: str, engine: Engine, platform: Platform
) -> None:
    organization = platform.organization()
    one, other, none = (platform.project(organization) for _ in range(3))
    mine, theirs = f"{organization}-{one}-", f"{organization}-{other}-"
    Pages.images = (
        image("a", f"{mine}v1", f"{mine}latest", size=100),
        image("b", f"{mine}v2", size=50),
        image("c", f"{theirs}v1", size=7),
        image("shared", f"{mine}base", f"{theirs}base", size=1_000),
        image("d", f"{organization}-{one}0-v1", size=9_999),
        image("e", "unrelated", size=9_999),
        image("b", f"{mine}v2", size=50),
    )
    measured = ECR.refresh(settings_for(registry, ecr_repository_uri=REPOSITORY), engine, AT)
    assert measured.failures == {}
    assert platform.rows(
        "SELECT project_id, current_ecr_images, total_docker_storage_bytes FROM project_stats ORDER BY 1"
    ) == [(one, 3, 1_150), (other, 2, 1_007), (none, 0, 0)]


def test_a_throttled_registry_ends_late_rather_than_wrong(
    registry: str, engine: Engine, platform: Platform
) -> None:
    project = platform.project()
    Pages.images, Pages.throttles = (), 3
    measured = ECR.refresh(settings_for(registry, ecr_repository_uri=REPOSITORY), engine, AT)
    assert measured.failures == {}
    assert platform.rows("SELECT project_id, current_ecr_images FROM project_stats") == [(project, 0)]
