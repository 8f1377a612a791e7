"""One row of the route list, and its registration in the app."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Literal

from fastapi import FastAPI, Response

from platevault.web.api.fast_route import CheckedRoute, HeadRoute, Usual, answered_by
from platevault.web.schemas.openapi import Responses

Method = Literal["GET", "HEAD", "POST", "DELETE"]
Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path, their handler, and their description in OpenAPI.

    The operation id is the name of the handler. A route without a tag is a page, which OpenAPI does not describe.
    `parameters` and `body` describe what the handler reads without FastAPI. `fast` answers the usual requests.
    `streams` is set where the body is made for as long as the client reads it.
    """

    method: Method
    path: str
    handler: Handler
    tag: str | None = None
    summary: str | None = None
    responses: Responses = field(default_factory=dict)
    _: KW_ONLY
    parameters: Iterable[dict[str, Any]] = ()
    body: dict[str, Any] | None = None
    fast: Usual | None = None
    streams: bool = False

    @property
    def operation_id(self) -> str:
        """The name of the operation in OpenAPI and in generated clients."""
        return self.handler.__name__


def add_routes(app: FastAPI, routes: Sequence[Route]) -> None:
    """Register the routes, in their order."""
    for route in routes:
        app.router.add_api_route(
            route.path,
            route.handler,
            methods=[route.method],
            operation_id=route.operation_id,
            tags=None if route.tag is None else [route.tag],
            summary=route.summary,
            status_code=_status_of_success(route.responses),
            responses=route.responses,
            response_class=Response,
            openapi_extra=_read_by_the_handler(route),
            include_in_schema=route.tag is not None,
            route_class_override=CheckedRoute if route.fast is None else answered_by(route.fast),
        )
    _add_heads(app, routes)


def _add_heads(app: FastAPI, routes: Sequence[Route]) -> None:
    """Answer HEAD wherever GET is answered, but for streams, whose headers cost a whole stream."""
    own = {route.path for route in routes if route.method == "HEAD"}
    for route in routes:
        if route.method == "GET" and route.path not in own and not route.streams:
            app.router.add_api_route(
                route.path,
                route.handler,
                methods=["HEAD"],
                response_class=Response,
                include_in_schema=False,
                route_class_override=HeadRoute,
            )


def _status_of_success(responses: Responses) -> int | None:
    """The first declared status below 300; without it FastAPI would describe a 200 that no handler answers."""
    return next((status for status in responses if isinstance(status, int) and status < 300), None)


def _read_by_the_handler(route: Route) -> dict[str, Any] | None:
    extra: dict[str, Any] = {}
    if parameters := list(route.parameters):
        extra["parameters"] = parameters
    if route.body is not None:
        extra["requestBody"] = route.body
    return extra or None
