"""Answers of AWS: taken whole or not at all, and within a time in all.

botocore's read timeout is that of one read: an answer that drips, a byte now and then, never meets it.
And it takes a body that a lost connection cut short for a whole one, and a page without its end for
the last page.
"""

import time
from typing import Any

from botocore.exceptions import HTTPClientError, ReadTimeoutError
from urllib3.exceptions import HTTPError

WITHIN = 30.0  # seconds for one answer: a page of a thousand objects is 300 kB
CUT_JSON = b'{"__type": "RequestTimeout", "message": "cut short"}'
CUT_XML = b"<Error><Code>RequestTimeout</Code><Message>cut short</Message></Error>"


def watch(client: Any) -> None:
    """Have `client` retry what is cut short and what takes too long."""
    client.meta.events.register("before-parse", _refuse_short)
    # botocore offers no other way to its connections.
    client._endpoint.http_session = _Timely(client._endpoint.http_session)


def refuse(response_dict: dict[str, Any]) -> None:
    """Turn an answer that was cut short into an error of AWS's own, which botocore retries."""
    response_dict["status_code"] = 408
    json = "json" in response_dict["headers"].get("Content-Type", "")
    response_dict["body"] = CUT_JSON if json else CUT_XML


def _refuse_short(response_dict: dict[str, Any], operation_model: Any, **_: Any) -> None:
    body, promised = response_dict["body"], response_dict["headers"].get("Content-Length")
    whole = isinstance(body, bytes) and operation_model.http["method"] != "HEAD"  # not a stream, and has one
    if whole and promised and len(body) < int(promised):
        refuse(response_dict)


class _Timely:
    """A session of botocore's that gives up an answer whose body has not come `WITHIN` seconds."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.close = session.close

    def send(self, request: Any) -> Any:
        """Return the response. Raises HTTPClientError or a subclass."""
        if request.stream_output:
            return self._session.send(request)
        until = time.monotonic() + WITHIN
        request.stream_output = True  # which leaves the body to be read here
        response = self._session.send(request)
        response._content = _body(response.raw, request.url, until)
        return response


def _body(raw: Any, url: str, until: float) -> bytes:
    read: list[bytes] = []
    try:
        while some := raw.read1(1 << 16):
            read.append(some)
            if time.monotonic() > until:
                raw.close()
                raise ReadTimeoutError(endpoint_url=url, error=f"not whole after {WITHIN:.0f} s")
    except HTTPError as error:
        raise HTTPClientError(error=error) from error
    return b"".join(read)
