"""S3, ECR and CloudWatch as documented, served over HTTP, with faults and answers that a test spoils."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

from metering.config.settings import Settings, load_settings

PAGE = 3


class Cloud(ThreadingHTTPServer):
    """S3's ListObjectsV2 and ECR's DescribeImages as documented; `faults` spoil the next answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.objects: dict[str, int] = {}
        self.repositories: dict[str, list[dict[str, Any]]] = {}
        self.platforms: dict[str, list[str]] = {}  # index -> the digests in it
        self.faults: list[str] = []
        self.refused: dict[str, str] = {}  # bucket or prefix -> the fault of each listing
        self.spoil: Callable[[str], str] = lambda body: body  # each body before it is sent
        self.actions: Counter[str] = Counter()
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Cloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes, and the second would wait 40 ms

    def do_GET(self) -> None:
        self.server.actions["s3:ListBucket"] += 1
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        bucket = self.path.strip("/").partition("?")[0]
        fault = self.server.refused.get(bucket) or self.server.refused.get(query.get("prefix", ""))
        if fault:
            self.server.faults.append(fault)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter")
        entries: dict[str, int | None] = {}
        for key, size in sorted(self.server.objects.items()):
            if key.startswith(prefix):
                head, delimiter_found, _ = key[len(prefix) :].partition(delimiter or "\0")
                entries |= {prefix + head + "/": None} if delimiter and delimiter_found else {key: size}
        entries = {key: size for key, size in entries.items() if key > query.get("start-after", "")}
        start = int(query.get("continuation-token", 0))
        page = list(entries.items())[start : start + PAGE]
        more = start + PAGE < len(entries)
        self._send(200, _listing(page, str(start + PAGE) if more else None), "application/xml")

    def do_POST(self) -> None:
        target = self.headers["X-Amz-Target"].rpartition(".")[2]
        service = "cloudwatch" if "Granite" in self.headers["X-Amz-Target"] else "ecr"
        self.server.actions[f"{service}:{target}"] += 1
        if service == "cloudwatch":
            return self._send(200, "{}", "application/x-amz-json-1.0")
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        images = self.server.repositories.get(request["repositoryName"])
        if images is None:
            error = {"__type": "RepositoryNotFoundException", "message": "no such repository"}
            return self._send(400, json.dumps(error), "application/x-amz-json-1.1")
        if target == "BatchGetImage":
            return self._send(200, json.dumps(self._indexes(request)), "application/x-amz-json-1.1")
        start = int(request.get("nextToken", 0))
        page: dict[str, object] = {"imageDetails": images[start : start + PAGE]}
        if start + PAGE < len(images):
            page["nextToken"] = str(start + PAGE)
        return self._send(200, json.dumps(page), "application/x-amz-json-1.1")

    def _indexes(self, request: dict[str, Any]) -> dict[str, Any]:
        digests = [image["imageDigest"] for image in request["imageIds"]]
        present = [digest for digest in digests if digest in self.server.platforms]
        absent = [digest for digest in digests if digest not in self.server.platforms]
        return {
            "images": [
                {"imageId": {"imageDigest": digest}, "imageManifest": json.dumps({"manifests": inside})}
                for digest in present
                for inside in [[{"digest": each} for each in self.server.platforms[digest]]]
            ],
            "failures": [
                {"imageId": {"imageDigest": digest}, "failureCode": "ImageNotFound"} for digest in absent
            ],
        }

    def _send(self, status: int, body: str, kind: str) -> None:
        fault = self.server.faults.pop() if self.server.faults else ""
        body = self.server.spoil(body)
        if fault[:3].isdigit():
            code = fault[4:]
            status = int(fault[:3])
            body = f"<Error><Code>{code}</Code></Error>" if "xml" in kind else json.dumps({"__type": code})
        content = body.encode()
        if fault == "hang":
            self.server.over.wait(30)
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if fault == "drip":
            for place in range(len(content)):
                if self.server.over.wait(0.05):
                    break
                self.wfile.write(content[place : place + 1])
            self.close_connection = True
            return
        half = len(content) // 2
        self.wfile.write(content[:half])
        if fault == "reset":
            self.wfile.flush()
            self.close_connection = True
            return
        if fault == "slow":
            self.wfile.flush()
            self.server.over.wait(0.5)
        self.wfile.write(content[half:])

    def log_message(self, format: str, *args: object) -> None:
        pass


def _listing(page: list[tuple[str, int | None]], token: str | None) -> str:
    keys = "".join(
        f"<Contents><Key>{quote_plus(key)}</Key><Size>{size}</Size></Contents>"
        for key, size in page
        if size is not None
    )
    common = "".join(
        f"<CommonPrefixes><Prefix>{quote_plus(key)}</Prefix></CommonPrefixes>"
        for key, size in page
        if size is None
    )
    more = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    truncated = f"<IsTruncated>{str(bool(token)).lower()}</IsTruncated>"
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    rest = f"{truncated}{more}<EncodingType>url</EncodingType>"
    return f'<ListBucketResult xmlns="{namespace}">{rest}{keys}{common}</ListBucketResult>'


REGISTRY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def settings_for(cloud: Cloud, repository: str = "shared", **more: object) -> Settings:
    """Return settings that send every request for AWS to `cloud`."""
    return load_settings(
        **{
            "aws_endpoint_url": cloud.address,
            "aws_region": ("eu-west-1",),
            "s3_bucket": "fleet-bucket",
            "ecr_repository_uri": f"{REGISTRY}/{repository}",
        }
        | more
    )
