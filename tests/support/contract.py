"""An app whose answers are compared with the OpenAPI document: any difference fails the test that caused it."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from fastapi import FastAPI
from jsonschema import Draft202012Validator, FormatChecker
from starlette.types import Message, Receive, Scope, Send

from platevault.web.document import LICENSE, describe, servers
from platevault.web.route import add_routes
from platevault.web.routes import ROUTES


def _with_zone(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment


FORMATS: Final = FormatChecker(formats=())
for _name, _read in {"date-time": _with_zone, "date": date.fromisoformat, "uuid": UUID}.items():
    FORMATS.checks(_name, raises=ValueError)(lambda value, read=_read: not isinstance(value, str) or bool(read(value)))


@cache
def the_document() -> dict[str, Any]:
    """The OpenAPI document, the same for every vault but for its public URL."""
    app = FastAPI(title="Platevault", version="0", license_info=LICENSE, servers=servers(None))
    add_routes(app, ROUTES)
    describe(app)
    return app.openapi()


class Undescribed(AssertionError):
    """An answer that the document does not describe."""


class Contract:
    """The app, which answers as before. `seen` has the operation and the status of each answer.

    Answers from before the router (load shedding) and of URLs without an operation are not compared.
    """

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.seen: set[tuple[str, int]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _Answer()

        async def send_and_keep(message: Message) -> None:
            answer.keep(message)
            await send(message)

        await self._app(scope, receive, send_and_keep)
        operation = self._operation(scope) if scope["type"] == "http" else None
        if operation is not None and answer.status:
            self.seen.add((operation["operationId"], answer.status))
            answer.compare(operation, with_body=scope["method"] != "HEAD")

    def _operation(self, scope: Scope) -> Mapping[str, Any] | None:
        template = getattr(scope.get("route"), "path_format", scope["path"])
        operations: Mapping[str, Any] = the_document()["paths"].get(template, {})
        return operations.get(scope["method"].lower())


class _Answer:
    """What the app sent; of bodies, only JSON is kept."""

    def __init__(self) -> None:
        self.status = 0
        self._type = ""
        self._body = b""
        self._is_empty = True

    def keep(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = {name.lower(): value for name, value in message["headers"]}
            self._type = headers.get(b"content-type", b"").decode().partition(";")[0]
        elif part := message.get("body", b""):
            self._is_empty = False
            self._body += part if self._is_json else b""

    @property
    def _is_json(self) -> bool:
        return self._type.endswith("json")

    def compare(self, operation: Mapping[str, Any], *, with_body: bool) -> None:
        """Raise `Undescribed` unless the document has this status, content type and body."""
        where = f"{operation['operationId']}: {self.status}"
        described = operation["responses"].get(str(self.status))
        if described is None:
            raise Undescribed(f"{where}: no such status")
        if not with_body or (self._is_empty and "content" not in described):
            return
        media = described.get("content", {}).get(self._type)
        if media is None:
            raise Undescribed(f"{where}: no content type {self._type!r}")
        if self._is_json:
            schema = json.dumps(media["schema"], sort_keys=True)
            faults = [
                f"{where}: {fault.json_path}: {fault.message[:300]}"
                for fault in _validator(schema).iter_errors(json.loads(self._body))
            ]
            if faults:
                raise Undescribed("\n".join(faults))


@cache
def _validator(schema: str) -> Draft202012Validator:
    return Draft202012Validator(
        json.loads(schema) | {"components": the_document()["components"]}, format_checker=FORMATS
    )
