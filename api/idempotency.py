"""Answer a repeated request as the first one: `Idempotency-Key`, kept 24 hours for each token.

The key is inserted in the transaction of the effect. Of two requests at once the second waits at the key's
row until the first has committed, and then finds its answer. A request that fails leaves no key.
"""

import hashlib
import json
import re
from collections.abc import Callable

from sqlalchemy import Connection, text
from starlette.requests import Request
from starlette.responses import Response

from api import cloud_events
from api.problems import Problem
from metering.db.callers import Caller

HEADER = "idempotency-key"
LONGEST_KEY = 255
KIND = "idempotency-key"  # of a problem
REPLAYED = "Idempotency-Replayed"
_FORM = re.compile(rf"(?=[!-~])[ -~]{{1,{LONGEST_KEY}}}(?<! )")
_STORED_HEADERS = ("content-type", "location")

_EXPIRE = text("""
    DELETE FROM idempotency_keys WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < clock_timestamp() - interval '24 hours'
        LIMIT 100 FOR UPDATE SKIP LOCKED))""")
_EXPIRE_THIS = text("""
    DELETE FROM idempotency_keys
    WHERE token_id = :token AND key = :key AND created_at < clock_timestamp() - interval '24 hours'""")
_CLAIM = text("""
    INSERT INTO idempotency_keys (token_id, key, request) VALUES (:token, :key, :request)
    ON CONFLICT DO NOTHING RETURNING true""")
_FIND = text("""
    SELECT request, status, headers, body FROM idempotency_keys WHERE token_id = :token AND key = :key""")
_KEEP = text("""
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
    WHERE token_id = :token AND key = :key""")


def once(
    request: Request, connection: Connection, caller: Caller, effect: Callable[[], Response]
) -> Response:
    """Return the answer of `effect`, or of the earlier request with the same key.

    `request.state.body` holds its body. Raises Problem 422 for a key of another form, 409 for one that
    came with another request.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return effect()
    if not _FORM.fullmatch(key):
        raise Problem(
            422, "Idempotency-Key takes 1 to 255 printable ASCII characters without spaces", "idempotency-key"
        )
    names = {"token": caller.id, "key": key, "request": _digest(request)}
    connection.execute(_EXPIRE)
    connection.execute(_EXPIRE_THIS, names)
    if connection.scalar(_CLAIM, names) is None:
        return _replayed(connection, names)
    answer = effect()
    headers = {name: answer.headers[name] for name in _STORED_HEADERS if name in answer.headers}
    stored = {
        "status": answer.status_code,
        "headers": json.dumps(headers),
        "body": bytes(answer.body).decode(),
    }
    connection.execute(_KEEP, names | stored)
    return answer


def _replayed(connection: Connection, names: dict[str, object]) -> Response:
    first = connection.execute(_FIND, names).one()
    if first.request != names["request"]:
        raise Problem(
            409,
            "this Idempotency-Key came with another request before; use a new key for a new request",
            KIND,
        )
    return Response(first.body, first.status, {**first.headers, REPLAYED: "true"})


def _digest(request: Request) -> str:
    """Return the digest of a request; headers belong to it, as an event in binary mode is in them."""
    headers = sorted(
        (name, value)
        for name, value in request.headers.items()
        if name == "content-type" or name.startswith(cloud_events.PREFIX)
    )
    head = json.dumps([request.method, request.url.path, request.url.query, headers])
    digest = hashlib.sha256(f"{head}\n".encode())
    digest.update(request.state.body)
    return digest.hexdigest()
