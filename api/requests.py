"""How a request is taken apart: its body is JSON that PostgreSQL can hold, its parameters are known."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Receive, Scope, Send

from api import access
from api.problems import Problem

LONGEST_INTEGER = 100
# What JSON can say and PostgreSQL cannot hold: NUL, and halves of surrogate pairs.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class ApiRequest(Request):
    """A request whose body was read and whose JSON was parsed by us, in `state`."""

    async def json(self) -> Any:
        """Return the body's JSON."""
        return self.state.json


class ApiRoute(APIRoute):
    """A route that refuses a bad token first, then parameters that it does not take, then bad values.

    HEAD is answered where GET is; the server leaves the body out.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the route answers that method at that address."""
        return super().matches(self._as_read(scope))

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await super().handle(self._as_read(scope), receive, send)

    def _as_read(self, scope: Scope) -> Scope:
        is_head = scope["type"] == "http" and scope["method"] == "HEAD" and "GET" in (self.methods or ())
        return {**scope, "method": "GET"} if is_head else scope

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        answer = super().get_route_handler()
        parameter_names = {parameter.alias for parameter in self.dependant.query_params}

        async def checked(request: Request) -> Response:
            request = ApiRequest(request.scope, request.receive)
            access.credentials(request)
            try:
                refuse_unknown(request, parameter_names)
                if request.method == "POST":
                    await run_in_threadpool(access.check, request)  # before the body is read
                    await _read(request, self.body_field is not None)
                return await answer(request)
            except (RequestValidationError, Problem) as error:
                if not hasattr(request.state, "caller"):
                    await run_in_threadpool(access.check, request)
                raise error

        return checked


async def _read(request: Request, takes_json: bool) -> None:
    """Read the body into `request.state`. Raises Problem 415, 422."""
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        accepted = {"Accept-Encoding": "identity"}
        raise Problem(415, f"a body is sent without Content-Encoding, not as {coding}", headers=accepted)
    request.state.body = await request.body()
    if not takes_json:
        return
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "this address takes application/json")
    request.state.json = await run_in_threadpool(parsed, request.state.body)


def refuse_unknown(request: Request, parameter_names: set[str]) -> None:
    """Raise Problem 422 for a parameter that the address does not take, or that is there twice.

    A misspelt filter would otherwise answer with rows that nobody asked for.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    refused_names = [name for name in names if name not in parameter_names or names.count(name) > 1]
    if refused_names:
        takes = ", ".join(sorted(parameter_names)) or "no parameters"
        problem = "is there twice" if refused_names[0] in parameter_names else "is not known"
        raise Problem(422, f"the parameter {refused_names[0]!r} {problem}; this address takes {takes}")


def parsed(body: bytes) -> Any:
    """Return the value of JSON in UTF-8. Raises Problem 422 for anything else."""
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_int=_integer)
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise Problem(422, "the body is nested too deeply", "body") from error
    except ValueError as error:
        raise Problem(422, f"the body is not JSON in UTF-8: {error}", "body") from error
    if _UNSTORABLE.search(text) or "\\u0000" in text:
        raise Problem(422, "the body holds a text with NUL or half of a surrogate pair", "body")
    return value


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_INTEGER:
        raise ValueError(f"an integer has at most {LONGEST_INTEGER} digits here, one has {len(digits):,}")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")
