"""A cloud that misbehaves: throttles, errors, slow bodies and resets change no number."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

import pytest
from sqlalchemy import Engine
from the_platform import Platform

from collectors import aws, cloudwatch, ecr, s3
from metering import settings
from metering.periods import Hour
from metering.settings import Settings

AT = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
POLICY = Path(__file__).parents[2] / "deploy" / "iam" / "collectors.json"
PAGE = 3


class Cloud(ThreadingHTTPServer):
    """S3's ListObjectsV2 and ECR's DescribeImages as documented; `faults` spoil the next answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, int] = {}
        self.repositories: dict[str, list[dict[str, object]]] = {}
        self.faults: list[str] = []
        self.actions: Counter[str] = Counter()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Cloud
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.actions["s3:ListBucket"] += 1
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        prefix, delimiter = asked.get("prefix", ""), asked.get("delimiter")
        entries: dict[str, int | None] = {}
        for key, size in sorted(self.server.objects.items()):
            if key.startswith(prefix):
                head, found, _ = key[len(prefix) :].partition(delimiter or "\0")
                entries |= {prefix + head + "/": None} if delimiter and found else {key: size}
        start = int(asked.get("continuation-token", 0))
        page = list(entries.items())[start : start + PAGE]
        more = start + PAGE < len(entries)
        self._send(200, _listing(page, str(start + PAGE) if more else None), "application/xml")

    def do_POST(self) -> None:
        target = self.headers["X-Amz-Target"].rpartition(".")[2]
        service = "cloudwatch" if "Granite" in self.headers["X-Amz-Target"] else "ecr"
        self.server.actions[f"{service}:{target}"] += 1
        if service == "cloudwatch":
            return self._send(200, "{}", "application/x-amz-json-1.0")
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images = self.server.repositories.get(asked["repositoryName"])
        if images is None:
            error = {"__type": "RepositoryNotFoundException", "message": "no such repository"}
            return self._send(400, json.dumps(error), "application/x-amz-json-1.1")
        start = int(asked.get("nextToken", 0))
        page: dict[str, object] = {"imageDetails": images[start : start + PAGE]}
        if start + PAGE < len(images):
            page["nextToken"] = str(start + PAGE)
        return self._send(200, json.dumps(page), "application/x-amz-json-1.1")

    def _send(self, status: int, body: str, kind: str) -> None:
        fault = self.server.faults.pop() if self.server.faults else ""
        if fault[:3].isdigit():
            code = fault[4:]
            status = int(fault[:3])
            body = f"<Error><Code>{code}</Code></Error>" if "xml" in kind else json.dumps({"__type": code})
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        if fault == "reset":
            self.wfile.flush()
            self.close_connection = True
            return
        if fault == "slow":
            self.wfile.flush()
            time.sleep(0.5)
        self.wfile.write(content[half:])

    def log_message(self, format: str, *args: object) -> None:
        pass


def _listing(page: list[tuple[str, int | None]], token: str | None) -> str:
    keys = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size></Contents>"
        for key, size in page
        if size is not None
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{escape(key)}</Prefix></CommonPrefixes>"
        for key, size in page
        if size is None
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>"
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<ListBucketResult xmlns="{namespace}">{truncated}{more}{keys}{common}</ListBucketResult>'


@pytest.fixture
def cloud(configured: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = Cloud()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def settings_for(cloud: Cloud, repository: str = "shared") -> Settings:
    return settings.load(
        aws_endpoint_url=cloud.address,
        aws_region=("eu-west-1",),
        s3_bucket="fleet-bucket",
        ecr_repository_uri=f"{REGISTRY}/{repository}",
    )


def fill(cloud: Cloud, platform: Platform) -> int:
    """One project with 18 bytes in S3 over several pages and sub-prefixes, and 7 images of 10 bytes."""
    project = platform.project()
    organization = platform.scalar("SELECT organization_id FROM projects")
    prefix = f"{organization}/{project}/"
    keys = ["top", "a/1", "a/2", "a/3", "a/4", "b/1", "b/2", "b/ü + &", "b/4"]
    cloud.objects = {prefix + key: 2 for key in keys} | {f"{organization}/{project}1/x": 999}
    cloud.repositories["shared"] = [
        {"imageDigest": f"sha256:{n}", "imageTags": [f"{organization}-{project}-{n}"], "imageSizeInBytes": 10}
        for n in range(7)
    ]
    return project


LEVELS = "SELECT total_s3_storage_bytes, current_ecr_images, total_docker_storage_bytes FROM project_stats"


@pytest.mark.parametrize(
    ("of_s3", "of_ecr"),
    [
        ("503 SlowDown", "400 ThrottlingException"),
        ("500 InternalError", "500 ServerException"),
        ("slow", "slow"),
        ("reset", "reset"),
    ],
)
def test_a_fault_in_mid_listing_changes_no_number(
    cloud: Cloud, engine: Engine, platform: Platform, of_s3: str, of_ecr: str
) -> None:
    fill(cloud, platform)
    cloud.faults = [of_s3, "", of_s3]
    stored = s3.refresh(settings_for(cloud), engine, AT)
    cloud.faults = [of_ecr, "", of_ecr]
    images = ecr.refresh(settings_for(cloud), engine, AT)
    assert (stored.failures, images.failures) == ({}, {})
    assert platform.rows(LEVELS) == [(18, 7, 70)]
    throttled = of_s3 == "503 SlowDown"
    assert (stored.throttles, images.throttles) == ((2, 2) if throttled else (0, 0))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("403 AccessDenied", "access denied"),
        ("404 NoSuchBucket", "does not exist"),
        ("403 ExpiredToken", "expired"),
        ("403 SignatureDoesNotMatch", "do not match"),
        ("400 IllegalLocationConstraintException", "another region"),
        ("503 SlowDown", "throttled"),
    ],
)
def test_what_cannot_be_read_is_told_apart_and_stays_unknown(
    cloud: Cloud, engine: Engine, platform: Platform, fault: str, said: str
) -> None:
    project = fill(cloud, platform)
    cloud.faults = [fault] * 8
    measured = s3.refresh(settings_for(cloud), engine, AT)
    assert said in measured.failures[project]
    assert platform.rows("SELECT 1 FROM project_stats WHERE total_s3_storage_bytes IS NOT NULL") == []


def test_a_repository_for_each_project(cloud: Cloud, engine: Engine, platform: Platform) -> None:
    one, absent = fill(cloud, platform), platform.project()
    cloud.repositories[f"fleet/{one}"] = cloud.repositories.pop("shared")
    measured = ecr.refresh(settings_for(cloud, "fleet/{project_id}"), engine, AT)
    assert platform.rows("SELECT project_id, current_ecr_images FROM project_stats ORDER BY 1") == [
        (one, 7),
        (absent, None),
    ]
    assert "does not exist" in measured.failures[absent]


def test_the_policy_allows_the_calls_made_and_nothing_else(
    cloud: Cloud, engine: Engine, platform: Platform
) -> None:
    fill(cloud, platform)
    s3.refresh(settings_for(cloud), engine, AT)
    ecr.refresh(settings_for(cloud), engine, AT)
    cloudwatch.read(settings_for(cloud), Hour.of(AT), aws.Tally())
    statements = json.loads(POLICY.read_text())["Statement"]
    assert {statement["Action"] for statement in statements} == set(cloud.actions)
