"""The simulated AWS: S3 and ECR answered by moto over HTTP, on loopback, for the demo's projects.

One project's prefix is denied, as a bucket policy would deny it. moto keeps objects in memory: those of the
demo are a million times smaller than their listing says.
"""

import json
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from urllib.parse import parse_qs

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from fleetmeter.demo import world
from fleetmeter.demo.world import PROJECTS, Project

REGION: Final = "eu-west-1"
BUCKET, REPOSITORY = "simulated-fleet-storage", "simulated-compositions"
DENIAL = b"""<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"""

SCALE: Final = 1_000_000  # a listed byte for each byte that is kept

Start = Callable[..., Any]
Application = Callable[[dict[str, Any], Start], Iterable[bytes]]


class Quiet(WSGIRequestHandler):
    """A request handler that logs nothing."""

    def log(self, type: str, message: str, *args: Any) -> None:
        """Log nothing: a request is not an event of the demo."""


def scaling(application: Any) -> Application:
    """Return `application`, except that listed objects are `SCALE` times as large as they are."""

    def answer(environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        if "list-type=2" not in environment.get("QUERY_STRING", ""):
            return application(environment, start)  # type: ignore[no-any-return]
        response_start: list[Any] = []
        body = b"".join(application(environment, lambda *arguments: response_start.extend(arguments)))
        larger = re.sub(rb"<Size>(\d+)</Size>", _larger, body)
        status, headers = response_start[:2]
        other_headers = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start(status, [*other_headers, ("Content-Length", str(len(larger)))])
        return [larger]

    return answer


def _larger(size: re.Match[bytes]) -> bytes:
    return b"<Size>%d</Size>" % (int(size[1]) * SCALE)


def denying(application: Any, prefix: str) -> Application:
    """Return `application`, except that listing `prefix` of the bucket is denied."""

    def answer(environment: dict[str, Any], start: Start) -> Iterable[bytes]:
        query_prefix = parse_qs(environment.get("QUERY_STRING", "")).get("prefix", [""])[0]
        if environment["REQUEST_METHOD"] == "GET" and query_prefix.startswith(prefix):
            start("403 Forbidden", [("Content-Type", "application/xml")])
            return [DENIAL]
        return application(environment, start)  # type: ignore[no-any-return]

    return answer


def start() -> dict[str, str]:
    """Serve in a daemon thread; return the environment that points Fleetmeter at it."""
    denied = next(project for project in PROJECTS if project.id == world.DENIED)
    aws = scaling(DomainDispatcherApplication(create_backend_app))
    application = denying(aws, f"{_prefix(denied)}/")
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    _fill(endpoint)
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "simulated",
        "AWS_SECRET_ACCESS_KEY": "simulated",
        "S3_BUCKET": BUCKET,
        "ECR_REPOSITORY_URI": f"123456789012.dkr.ecr.{REGION}.amazonaws.com/{REPOSITORY}",
    }


def _prefix(project: Project) -> str:
    return f"{project.organization_id}/{project.id}"


def _fill(endpoint: str) -> None:
    session = boto3.session.Session(
        aws_access_key_id="simulated", aws_secret_access_key="simulated", region_name=REGION
    )
    s3 = session.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    ecr = session.client("ecr", endpoint_url=endpoint)
    ecr.create_repository(repositoryName=REPOSITORY)
    for project in PROJECTS:
        for part in range(4):
            body = b"\0" * (project.s3_bytes // 4 // SCALE)
            s3.put_object(Bucket=BUCKET, Key=f"{_prefix(project)}/recordings/{part}.bag", Body=body)
        for image in range(project.images):
            tag = f"{project.organization_id}-{project.id}-v{image}"
            ecr.put_image(repositoryName=REPOSITORY, imageManifest=_manifest(tag), imageTag=tag)


def _manifest(tag: str) -> str:
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"digest": f"sha256:{tag:0<64}", "size": 50_000_000},
            "layers": [{"digest": f"sha256:{tag:0<64}", "size": 50_000_000}],
        }
    )
