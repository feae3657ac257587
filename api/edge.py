"""ASGI middleware around the API: request ids, the log, the limit of bodies, and problems for every error."""

import re
import time
import uuid
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import latency, problems
from api.probes import PATHS
from api.problems import Problem
from metering.db.engine import describe_error

LARGEST_BODY = 8 * 2**20  # bytes
_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
LOG = structlog.get_logger("api")


class Edge:
    """Give each request an id, refuse bodies that are too large, log and report each answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] in PATHS:  # probes come every few seconds
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        try:
            exchange.refuse_large()
            await self.app(scope, exchange.receive, exchange.send)
        except Problem as problem:
            await exchange.answer(problem)
        except ClientDisconnect:
            pass  # the client has gone
        except Exception as error:
            await exchange.answer(exchange.problem(error))
        finally:
            exchange.report()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self._receive, self._send = scope, receive, send
        self.headers = Headers(scope=scope)
        request_id = self.headers.get("x-request-id", "")
        self.id = request_id if _ID.fullmatch(request_id) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = self.id
        self.started, self.status, self.received = time.perf_counter(), 0, 0

    def refuse_large(self) -> None:
        length = self.headers.get("content-length", "0")
        if length.isdigit() and int(length) > LARGEST_BODY:
            raise _too_large()

    async def receive(self) -> Message:
        message = await self._receive()
        self.received += len(message.get("body", b""))
        if self.received > LARGEST_BODY:
            raise _too_large()
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["X-Request-ID"] = self.id
        await self._send(message)

    def problem(self, error: Exception) -> Problem:
        """Return the problem for the client; log the details, which only the operator should read."""
        answer = problems.of_error(error)
        if answer is None:
            LOG.error("request.failed", request_id=self.id, path=self.scope["path"], exc_info=error)
        elif answer.status >= 500:
            LOG.warning("request.refused", request_id=self.id, reason=describe_error(error))
        return answer or problems.failure()

    async def answer(self, problem: Problem) -> None:
        if not self.status:
            await problems.response(problem)(self.scope, self.receive, self.send)

    def report(self) -> None:
        seconds = time.perf_counter() - self.started
        route = getattr(self.scope.get("route"), "path", None)
        latency.observe(self.scope["method"], route, self.status, seconds)
        caller: Any = self.scope["state"].get("caller")
        LOG.info(
            "request.answered",
            request_id=self.id,
            method=self.scope["method"],
            path=self.scope["path"],
            status=self.status,
            milliseconds=round(seconds * 1000, 1),
            token=getattr(caller, "name", None),
        )


def _too_large() -> Problem:
    return Problem(413, f"a body holds at most {LARGEST_BODY:,} bytes; send it in parts")
