"""/docs: every route with its examples, to be tried from the page itself; nothing is loaded from elsewhere."""

import json
from typing import Any, Final

from fastapi import Request, Response

from platevault.web.html.layout import layout_of
from platevault.web.html.render import page

EVENTS: Final = "text/event-stream"
_METHODS: Final = ("get", "post", "put", "patch", "delete")


async def show_docs(request: Request) -> Response:
    """It tells what the API is, and nothing of what the vault holds."""
    description = request.app.openapi()
    groups: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in description["tags"]}
    for path, operations in description["paths"].items():
        for method in _METHODS:
            if method in operations:
                operation = operations[method]
                groups[operation["tags"][0]].append(_shown(method, path, operation, description))
    return page("docs.html", groups=groups, info=description["info"], frame=layout_of(request))


def _shown(method: str, path: str, operation: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = operation.get("requestBody", {}).get("content", {})
    body_type = next(iter(content), None)
    example = None if body_type is None else _example(content[body_type], description)
    return {
        "id": f"{method}{path}".translate(str.maketrans("/{}", "---")),
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "parameters": [_parameter(parameter) for parameter in operation.get("parameters", [])],
        "body_type": body_type,
        "body": "" if example is None else _written(example),
        "answer": _answer(operation, description),
        "stream": _stream(operation),
        "statuses": list(operation.get("responses", {})),
    }


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    schema = parameter.get("schema", {})
    example = parameter.get("example", next(iter(schema.get("examples", [])), ""))
    if parameter["in"] == "path":
        example = example or {"kind": "full", "detection_id": "evt_abc123"}.get(parameter["name"], "")
    return {
        "name": parameter["name"],
        "in": parameter["in"],
        "description": parameter.get("description", ""),
        "required": parameter.get("required", False),
        # Only what a request needs is filled in: an optional filter that was not meant would hide what there is.
        "value": example if parameter.get("required") else "",
        "hint": str(example or schema.get("default", "")),
    }


def _example(media: dict[str, Any], description: dict[str, Any]) -> Any:
    if "example" in media:
        return media["example"]
    if "examples" in media:
        return next(iter(media["examples"].values())).get("value")
    schema = _resolved(media.get("schema", {}), description)
    if "batch" in schema.get("properties", {}):
        # Of a multipart body, the part that is JSON; the page makes the file parts from it.
        schema = _resolved(schema["properties"]["batch"], description)
    return schema.get("example", next(iter(schema.get("examples", [])), None))


def _written(example: Any) -> str:
    return example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)


def _answer(operation: dict[str, Any], description: dict[str, Any]) -> str:
    for status in ("200", "201", "202"):
        media = operation.get("responses", {}).get(status, {}).get("content", {}).get("application/json")
        if media is not None:
            example = _example(media, description)
            return "" if example is None else _written(example)
    return ""


def _stream(operation: dict[str, Any]) -> dict[str, str] | None:
    """What an answer without an end is, and its beginning; None for those that end."""
    answer = operation.get("responses", {}).get("200", {})
    media = answer.get("content", {}).get(EVENTS)
    return None if media is None else {"description": answer.get("description", ""), "example": media["example"]}


def _resolved(schema: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = description["components"]["schemas"].get(schema["$ref"].rsplit("/", 1)[-1], {})
    return found
