"""The OpenAPI document: licence, servers, tags, and the schemas of bodies that handlers read and encode."""

from typing import Any, Final

from fastapi import FastAPI
from pydantic.json_schema import models_json_schema

from platevault.web.schemas.ingest import request_schemas
from platevault.web.schemas.openapi import COMPONENT, TAGS
from platevault.web.schemas.problems import ProblemResponse

DESCRIPTION: Final = """Platevault stores detections of license-plate cameras with their images. Collectors send batches. Viewers search
for a purpose, which is recorded. Every error is an `application/problem+json` with a stable `type`."""
LICENSE: Final = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}


def servers(public_url: str | None) -> list[dict[str, str | Any]]:
    """The server of the document: the public URL, or the origin that returned the document."""
    return [{"url": (public_url or "/").rstrip("/") or "/", "description": "This vault."}]


def describe(app: FastAPI) -> None:
    """Add to the document what FastAPI does not know: tags, and models that no FastAPI parameter or answer refers to."""
    by_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        document = by_fastapi()
        document["tags"] = TAGS
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas |= request_schemas() | _of_problems()
        schemas.pop("JsonValue", None)  # because no schema refers to it
        _forget_defaults(schemas)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # as FastAPI's documentation extends it


def _forget_defaults(schemas: dict[str, Any]) -> None:
    """Remove the defaults of fields, because TypeScript generators require fields that have one; descriptions name them."""
    for schema in schemas.values():
        for field in schema.get("properties", {}).values():
            field.pop("default", None)


def _of_problems() -> dict[str, Any]:
    _, document = models_json_schema([(ProblemResponse, "serialization")], ref_template=COMPONENT)
    schemas: dict[str, Any] = document["$defs"]
    return schemas
