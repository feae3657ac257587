"""The OpenAPI description: what FastAPI derives, with tokens, problems, CSV, keys and examples."""

from typing import Any

from fastapi import FastAPI

from api.idempotency import LONGEST_KEY
from api.problems import MEDIA_TYPE, TITLES
from api.schemas import ExplanationShape, ProblemShape, RunShape

Schema = dict[str, Any]
JSON_ONLY = (ExplanationShape.__name__,)
EVERYWHERE = (401, 403, 404, 422, 429, 500, 503)
OF_POST = (400, 409, 413, 415)
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text; the same request with the same key is done once, for 24 hours.",
    "schema": {
        "type": "string",
        "minLength": 1,
        "maxLength": LONGEST_KEY,
        "pattern": "^[!-~]([ -~]*[!-~])?$",
    },
}
HEADERS: dict[str, Schema] = {
    "X-Request-ID": {"description": "The id of the request in the server's log; yours if you sent one."},
    "ETag": {"description": "Send it back as `If-None-Match`: 304 says that nothing has changed."},
    "Last-Modified": {"description": "When the newest row was written, where rows say so; no validator."},
    "Link": {"description": 'The next page, `rel="next"`; not there on the last one.'},
    "Location": {"description": "The address of what was made."},
    "Retry-After": {"description": "Seconds after which to ask again."},
    "WWW-Authenticate": {"description": "How to send a token."},
    "Idempotency-Replayed": {"description": "`true`: the answer is that of the first request with this key."},
}
OF_STATUS = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
PLAIN: Schema = {"string": "text", "integer": 1, "number": 1.5, "boolean": True, "null": None}
FORMATS = {"date": "2026-11-24", "date-time": "2026-11-24T10:00:00Z"}


def describe(app: FastAPI) -> Schema:
    """Return the description of `app`, which is computed once."""
    if app.openapi_schema is None:
        app.openapi_schema = _completed(FastAPI.openapi(app))
    return app.openapi_schema


def _completed(schema: Schema) -> Schema:
    parts = schema["components"]
    parts["schemas"] = {
        name: part for name, part in parts["schemas"].items() if "ValidationError" not in name
    }
    parts["schemas"]["Problem"] = ProblemShape.model_json_schema()
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    parts["headers"] = {name: header | {"schema": {"type": "string"}} for name, header in HEADERS.items()}
    parts["responses"] = {str(status): _problem(status, title) for status, title in TITLES.items()}
    schema["security"] = [{"token": []}]
    for path in schema["paths"].values():
        for method, operation in path.items():
            _complete(operation, method, parts["schemas"])
    return schema


def _problem(status: int, title: str) -> Schema:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = _headers("X-Request-ID", *OF_STATUS.get(status, ()))
    return {"description": title, "headers": headers, "content": content}


def _headers(*names: str) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


_UNCHANGED = {"description": "Not changed since", "headers": _headers("X-Request-ID", "ETag")}


def _complete(operation: Schema, method: str, schemas: Schema) -> None:
    statuses = (*EVERYWHERE, *(OF_POST if method == "post" else (304, 406)))
    answers = operation["responses"]
    for status in statuses:
        reference = {"$ref": f"#/components/responses/{status}"}
        answers[str(status)] = _UNCHANGED if status == 304 else reference
    if method == "post":
        operation["parameters"] = [*operation.get("parameters", []), KEY]
    for status, answer in answers.items():
        if status.startswith("2"):
            _complete_answer(answer, method, schemas)


def _complete_answer(answer: Schema, method: str, schemas: Schema) -> None:
    answer["headers"] = _headers(
        "X-Request-ID", *(("ETag", "Last-Modified") if method == "get" else ("Idempotency-Replayed",))
    )
    described = answer.get("content", {}).get("application/json")
    if described is None or "schema" not in described:
        return
    described.setdefault("example", example(described["schema"], schemas))
    name = described["schema"].get("$ref", "").rpartition("/")[2]
    if method == "get" and name not in JSON_ONLY:
        answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    if name.endswith("List"):
        answer["headers"] |= _headers("Link")
    if name == RunShape.__name__ and method == "post":
        answer["headers"] |= _headers("Location")


def example(part: Schema, schemas: Schema) -> Any:
    """Return a value that fits a schema: its own example where it has one."""
    if "$ref" in part:
        return example(schemas[part["$ref"].rpartition("/")[2]], schemas)
    for values in (part.get("examples"), part.get("enum")):
        if values:
            return values[0]
    if "anyOf" in part:
        return example(part["anyOf"][0], schemas)
    kind = part.get("type", "object")
    if kind == "array":
        return [example(part["items"], schemas)] if "$ref" in part["items"] else []
    if kind == "object":
        return {name: example(inner, schemas) for name, inner in part.get("properties", {}).items()}
    return FORMATS.get(part.get("format", ""), PLAIN.get(kind))
