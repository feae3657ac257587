"""Objects listed per second: the S3 collector against a plain boto3 paginator loop, on one server.

100,000 objects under one prefix, in 20 folders; answered at once, and 20 ms late. And what a month of
listing 10,000 projects costs at AWS.
"""

import multiprocessing
import os
import time
from bisect import bisect_left
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from rich.console import Console
from rich.table import Table

from collectors import aws, s3
from metering import settings

OUT = Console(highlight=False, width=120)
FOLDERS, EACH, PAGE = 20, 5_000, 1_000
KEYS = [f"1/1/{folder:02d}/{number:05d}.bag" for folder in range(FOLDERS) for number in range(EACH)]
NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
DOLLARS_PER_CALL = 0.005 / 1_000  # LIST, us-east-1


class Bucket(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    late = 0.0

    def do_GET(self) -> None:
        time.sleep(self.late)
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        content = self._page(asked).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _page(self, asked: dict[str, str]) -> str:
        prefix, more = asked["prefix"], ""
        if "delimiter" in asked:
            folders = (f"{prefix}{folder:02d}/" for folder in range(FOLDERS))
            rows = "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in folders)
        else:
            start = int(asked.get("continuation-token", bisect_left(KEYS, prefix)))
            stop = bisect_left(KEYS, prefix + "\x7f")
            rows = "".join(
                f"<Contents><Key>{key}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
                f'<ETag>"0"</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>'
                for key in KEYS[start : min(start + PAGE, stop)]
            )
            if start + PAGE < stop:
                more = f"<NextContinuationToken>{start + PAGE}</NextContinuationToken>"
        truncated = f"<IsTruncated>{str(bool(more)).lower()}</IsTruncated>"
        return f'<ListBucketResult xmlns="{NAMESPACE}">{truncated}{more}{rows}</ListBucketResult>'

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve(late: float, port: Any) -> None:
    Bucket.late = late
    server = ThreadingHTTPServer(("127.0.0.1", 0), Bucket)
    port.send(server.server_port)
    server.serve_forever()


def main() -> None:
    """Both ways on both servers, and the bill."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    table = Table("answers", "lister", "calls", "objects/s", "× plain boto3")
    for late in (0.0, 0.02):
        base = 0.0
        for name, way in (("plain boto3", _plain), ("fleetmeter", _ours)):
            calls, rate = _measure(late, way)
            base = base or rate
            row = f"{late * 1000:.0f} ms late", name, str(calls), f"{rate:,.0f}", f"{rate / base:.2f}"
            table.add_row(*row)
    OUT.print(table)
    month = 10_000 * 24 * 30 * DOLLARS_PER_CALL
    OUT.print(f"10,000 projects of one page each, every hour: 7,200,000 LIST a month, ${month:,.2f}")


def _measure(late: float, way: Callable[[Any], int]) -> tuple[int, float]:
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(late, theirs), daemon=True)
    server.start()
    tally = aws.Tally()
    where = settings.load(aws_endpoint_url=f"http://127.0.0.1:{ours.recv()}", aws_region=("eu-west-1",))
    client = aws.client(where, "s3", tally=tally) if way is _ours else _client(where, tally)
    began = time.monotonic()
    assert way(client) == len(KEYS)
    elapsed = time.monotonic() - began
    server.terminate()
    return tally.requests, len(KEYS) / elapsed


def _client(where: settings.Settings, tally: aws.Tally) -> Any:
    client = boto3.client("s3", endpoint_url=where.aws_endpoint_url, region_name="eu-west-1")
    tally.watch(client)
    return client


def _plain(client: Any) -> int:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix="1/1/")
    return sum(item["Size"] for page in pages for item in page.get("Contents", ()))


def _ours(client: Any) -> int:
    with ThreadPoolExecutor(aws.CONCURRENCY) as parts:
        return s3.stored(client, "bucket", "1/1/", parts)
