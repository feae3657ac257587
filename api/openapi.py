"""The OpenAPI description: what FastAPI derives, with tokens, problems, CSV, keys and examples."""

from typing import Any

from fastapi import FastAPI

from api.idempotency import LONGEST_KEY
from api.problems import MEDIA_TYPE, TITLES
from api.schemas import ProblemShape

Schema = dict[str, Any]
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
    parts["responses"] = {str(status): _problem(title) for status, title in TITLES.items()}
    schema["security"] = [{"token": []}]
    for path in schema["paths"].values():
        for method, operation in path.items():
            _complete(operation, method, parts["schemas"])
    return schema


def _problem(title: str) -> Schema:
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": title, "content": content}


def _complete(operation: Schema, method: str, schemas: Schema) -> None:
    statuses = (*EVERYWHERE, *(OF_POST if method == "post" else (304, 406)))
    answers = operation["responses"]
    for status in statuses:
        known = {"$ref": f"#/components/responses/{status}"}
        answers[str(status)] = {"description": "Not changed since"} if status == 304 else known
    if method == "post":
        operation.setdefault("parameters", []).append(KEY)
    for status, answer in answers.items():
        if status.startswith("2"):
            _complete_answer(answer, method, schemas)


def _complete_answer(answer: Schema, method: str, schemas: Schema) -> None:
    described = answer.get("content", {}).get("application/json")
    if described is None or "schema" not in described:
        return
    described.setdefault("example", example(described["schema"], schemas))
    name = described["schema"].get("$ref", "").rpartition("/")[2]
    if method == "get" and name.endswith("List"):
        answer["content"]["text/csv"] = {"schema": {"type": "string"}}


def example(part: Schema, schemas: Schema) -> Any:
    """Return a value that fits a schema: its own example where it has one."""
    if "$ref" in part:
        return example(schemas[part["$ref"].rpartition("/")[2]], schemas)
    for given in (part.get("examples"), part.get("enum")):
        if given:
            return given[0]
    if "anyOf" in part:
        return example(part["anyOf"][0], schemas)
    kind = part.get("type", "object")
    if kind == "array":
        return [example(part["items"], schemas)] if "$ref" in part["items"] else []
    if kind == "object":
        return {name: example(inner, schemas) for name, inner in part.get("properties", {}).items()}
    return FORMATS.get(part.get("format", ""), PLAIN.get(kind))
