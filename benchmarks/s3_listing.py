"""Objects listed per second: the S3 collector, a plain boto3 paginator loop and `aws s3 ls`, on one server.

100,000 objects under one prefix, in 20 folders; answered at once, and 20 ms late. Then 1,000 projects
of 100 objects each: the calls that each way takes, and what a month of 10,000 such costs at AWS.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import venv
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from rich.console import Console
from rich.table import Table

from collectors.aws import s3_listing
from collectors.aws.client import RequestCount
from metering.config.aws import Place
from metering.config.settings import Settings, load_settings

OUT = Console(highlight=False, width=120)
FOLDERS, EACH, PAGE = 20, 5_000, 1_000
LARGE = [f"1/1/{folder:02d}/{number:05d}.bag" for folder in range(FOLDERS) for number in range(EACH)]
PROJECTS, SMALL = 1_000, 100  # projects, objects of each
MANY = sorted(
    f"1/{project}/{number:05d}.bag" for project in range(1, PROJECTS + 1) for number in range(SMALL)
)
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DOLLARS_PER_CALL = 0.005 / 1_000  # LIST, us-east-1


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the body would wait for the acknowledgement of the head
    late = 0.0
    keys: list[str] = []  # noqa: RUF012 - set once, before serving

    def do_GET(self) -> None:
        time.sleep(self.late)
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        content = self._page(query).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _page(self, query: dict[str, str]) -> str:
        prefix, more, keys = query.get("prefix", ""), "", self.keys
        if "delimiter" in query:
            folders = (f"{prefix}{folder:02d}/" for folder in range(FOLDERS))
            rows = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders)
        else:
            first = max(bisect_left(keys, prefix), bisect_right(keys, query.get("start-after", "")))
            start = int(query.get("continuation-token", first))
            stop = bisect_left(keys, prefix + "\x7f")
            rows = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
                f'<ETag>"0"</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>'
                for key in keys[start : min(start + PAGE, stop)]
            )
            if start + PAGE < stop:
                more = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>"
        state = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated><EncodingType>url</EncodingType>"
        return f'<ListBucketResult xmlns="{NAMESPACE}">{state}{more}{rows}</ListBucketResult>'

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(late: float, keys: list[str], port: Any) -> None:
    Bucket.late, Bucket.keys = late, keys
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    port.send(server.server_port)
    server.serve_forever()


def main() -> None:
    """Every way on each server, and the bill."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with tempfile.TemporaryDirectory(prefix="fleetmeter-bench-") as folder:
        program = _aws(Path(folder))
        ways: dict[str, Way] = {"plain boto3": _plain, "fleetmeter": _ours}
        if program:
            ways["aws s3 ls --recursive --summarize"] = lambda settings, tally: _command(program, settings)
        _large(ways)
    _many()


def _large(ways: dict[str, "Way"]) -> None:
    table = Table("answers", "100,000 objects by", "calls", "objects/s", "× plain boto3")
    for late in (0.0, 0.02):
        base = 0.0
        for name, way in ways.items():
            calls, elapsed = _measure(late, LARGE, way)
            rate = len(LARGE) / elapsed
            base = base or rate
            call_count = str(calls) if calls else "—"
            table.add_row(
                f"{late * 1000:.0f} ms late", name, call_count, f"{rate:,.0f}", f"{rate / base:.2f}"
            )
    OUT.print(table)


def _many() -> None:
    table = Table(
        "1,000 projects of 100 objects", "calls an hour", "a project-hour", "10,000 projects, a month"
    )
    for name, way in (("prefix by prefix", _by_prefix), ("fleetmeter", _sweep)):
        calls, _ = _measure(0.0, MANY, way)
        month = calls / PROJECTS * 10_000 * 24 * 30 * DOLLARS_PER_CALL
        table.add_row(name, f"{calls:,}", f"{calls / PROJECTS:.3f}", f"${month:,.2f}")
    OUT.print(table)


def _aws(folder: Path) -> str | None:
    """The AWS CLI in an environment of its own: it would pin another botocore than ours."""
    venv.create(folder / "aws", with_pip=True)
    install = [folder / "aws/bin/python", "-m", "pip", "install", "--quiet", "awscli>=1.40,<2"]
    if subprocess.run(install, check=False, stdout=sys.stderr).returncode:
        OUT.print("aws s3 ls is left out: awscli could not be installed")
        return None
    return str(folder / "aws/bin/aws")


def _measure(late: float, keys: list[str], way: "Way") -> tuple[int, float]:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    server = context.Process(target=serve, args=(late, keys, theirs), daemon=True)
    server.start()
    tally = RequestCount()
    settings = load_settings(aws_endpoint_url=f"http://127.0.0.1:{ours.recv()}", aws_region=("eu-west-1",))
    began = time.monotonic()
    assert way(settings, tally) == len(keys)
    elapsed = time.monotonic() - began
    server.terminate()
    return tally.requests, elapsed


Way = Callable[[Settings, RequestCount], int]


def _client(settings: Settings, tally: RequestCount) -> Any:
    client = boto3.client("s3", endpoint_url=settings.aws_endpoint_url, region_name="eu-west-1")
    tally.watch(client)
    return client


def _listed(client: Any, prefix: str) -> int:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=prefix)
    return sum(item["Size"] for page in pages for item in page.get("Contents", ()))


def _plain(settings: Settings, tally: RequestCount) -> int:
    return _listed(_client(settings, tally), "1/1/")


def _by_prefix(settings: Settings, tally: RequestCount) -> int:
    return _read(settings, tally, PROJECTS, at_once=s3_listing.MAX_ONE_BY_ONE)


def _ours(settings: Settings, tally: RequestCount) -> int:
    return _read(settings, tally, 1)


def _sweep(settings: Settings, tally: RequestCount) -> int:
    return _read(settings, tally, PROJECTS)


def _read(settings: Settings, tally: RequestCount, projects: int, at_once: int = PROJECTS) -> int:
    ids = [(project, 1) for project in range(1, projects + 1)]
    with s3_listing.open_reader(settings, Place("bucket", "eu-west-1"), tally) as read:
        some = (ids[start : start + at_once] for start in range(0, projects, at_once))
        return sum(part["s3_storage_bytes"] for few in some for part in read(few) if isinstance(part, dict))


def _command(program: str, settings: Settings) -> int:
    listing = [program, "s3", "ls", "s3://bucket/1/1/", "--recursive", "--summarize"]
    more = ["--endpoint-url", str(settings.aws_endpoint_url), "--region", "eu-west-1"]
    output = subprocess.run([*listing, *more], check=True, capture_output=True, text=True).stdout
    return int(output.rpartition("Total Size:")[2])
