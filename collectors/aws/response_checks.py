"""Reject answers of AWS that are incomplete or that take too long.

botocore's read timeout applies to one read: an answer that arrives byte by byte never exceeds it. And
botocore accepts a body that a lost connection cut short, and takes a page without its end for the last one.
"""

import time
from typing import Any

from botocore.exceptions import HTTPClientError, ReadTimeoutError
from urllib3.exceptions import HTTPError

WITHIN = 30.0  # seconds for one answer: a page of a thousand objects is 300 kB
CUT_JSON = b'{"__type": "RequestTimeout", "message": "cut short"}'
CUT_XML = b"<Error><Code>RequestTimeout</Code><Message>cut short</Message></Error>"


def watch(client: Any) -> None:
    """Have `client` retry answers that are cut short or take too long."""
    client.meta.events.register("before-parse", _reject_short)
    # botocore offers no other access to its connections.
    client._endpoint.http_session = _TimedSession(client._endpoint.http_session)


def reject(response_dict: dict[str, Any]) -> None:
    """Turn an answer that was cut short into an error of AWS's own, which botocore retries."""
    response_dict["status_code"] = 408
    json = "json" in response_dict["headers"].get("Content-Type", "")
    response_dict["body"] = CUT_JSON if json else CUT_XML


def _reject_short(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    body, length = response_dict["body"], response_dict["headers"].get("Content-Length")
    has_body = isinstance(body, bytes) and operation_model.http["method"] != "HEAD"  # and is not a stream
    if has_body and length and len(body) < int(length):
        reject(response_dict)


class _TimedSession:
    """A session of botocore that gives up an answer whose body has not arrived `WITHIN` seconds."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.close = session.close

    def send(self, request: Any) -> Any:
        """Return the response. Raises HTTPClientError or a subclass."""
        if request.stream_output:
            return self._session.send(request)
        until = time.monotonic() + WITHIN
        request.stream_output = True  # the body is then read here
        response = self._session.send(request)
        response._content = _body(response.raw, request.url, until)
        return response


def _body(raw: Any, url: str, until: float) -> bytes:
    blocks: list[bytes] = []
    try:
        while block := raw.read1(1 << 16):
            blocks.append(block)
            if time.monotonic() > until:
                raw.close()
                raise ReadTimeoutError(endpoint_url=url, error=f"incomplete after {WITHIN:.0f} s")
    except HTTPError as error:
        raise HTTPClientError(error=error) from error
    return b"".join(blocks)
