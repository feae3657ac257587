"""The reference for people, made from the OpenAPI description: one page that loads nothing else."""

from collections.abc import Iterator
from html import escape
from json import dumps
from typing import Any

Schema = dict[str, Any]
STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h2{margin-top:2.5rem}section{border-top:1px solid #8884;padding-top:.5rem;margin-top:1.5rem}
code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:#8882;padding:.75rem;overflow:auto;max-height:24rem}
.method{font-weight:700;margin-right:.5rem}table{border-collapse:collapse;width:100%}
td,th{text-align:left;padding:.25rem .75rem .25rem 0;vertical-align:top;overflow-wrap:anywhere}
nav a{margin-right:1rem}
"""


def page(schema: Schema) -> str:
    """Return the page as HTML."""
    return "\n".join(_parts(schema))


def _parts(schema: Schema) -> Iterator[str]:
    title, description = escape(schema["info"]["title"]), escape(schema["info"]["description"])
    yield (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}: HTTP API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>'
    )
    yield f"<h1>{title}: HTTP API</h1><p>{description}</p>"
    yield (
        "<p>Every address takes <code>Authorization: Bearer</code> with a token of "
        '<code>fleetmeter token create</code>. For programs: <a href="openapi.json">openapi.json</a>.</p>'
    )
    tags: dict[str, list[tuple[str, str, Schema]]] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            tags.setdefault((operation.get("tags") or ["Other"])[0], []).append((path, method, operation))
    yield "<nav>" + "".join(f'<a href="#{escape(tag)}">{escape(tag)}</a>' for tag in tags) + "</nav>"
    for tag, operations in tags.items():
        yield f'<h2 id="{escape(tag)}">{escape(tag)}</h2>'
        for operation in operations:
            yield from _operation(*operation)
    yield "</body></html>"


def _operation(path: str, method: str, operation: Schema) -> Iterator[str]:
    yield f'<section><h3><span class="method">{method.upper()}</span><code>{escape(path)}</code></h3>'
    yield f"<p>{escape(operation.get('summary', ''))}. {escape(operation.get('description', ''))}</p>"
    if operation.get("parameters"):
        yield "<table><tr><th>parameter</th><th>takes</th><th></th></tr>"
        yield from (_parameter(one) for one in operation["parameters"])
        yield "</table>"
    for status, answer in operation["responses"].items():
        example = answer.get("content", {}).get("application/json", {}).get("example")
        if example is not None:
            example_text = dumps(example, indent=1, ensure_ascii=False)
            yield f"<p>Answers {escape(status)}:</p><pre>{escape(example_text)}</pre>"
    for kind, body in operation.get("requestBody", {}).get("content", {}).items():
        shape = str(body.get("schema", {}).get("$ref", "")).rpartition("/")[2]
        yield f"<p>Takes {escape(kind)} <code>{escape(shape)}</code></p>"
    yield "</section>"


def _parameter(parameter: Schema) -> str:
    schema = parameter["schema"]
    kinds = [schema, *schema.get("anyOf", [])]
    types = [str(kind["type"]) for kind in kinds if kind.get("type", "null") != "null"]
    takes = " or ".join(dict.fromkeys(types))
    needed = "" if parameter.get("required") else ", optional"
    described = escape(parameter.get("description", ""))
    name = escape(parameter["name"])
    return f"<tr><td><code>{name}</code></td><td>{takes}{needed}</td><td>{described}</td></tr>"
