"""Routes with checks of HTTP before FastAPI's, and routes whose usual requests are read by hand.

Reading the parameters of a usual request through FastAPI costs as much as a large part of its answer.
"""

from collections.abc import Awaitable, Callable, Coroutine
from functools import cached_property
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from platevault.domain.errors import EncodingUnknown, InvalidRequest

Usual = Callable[[Request], Awaitable[Response | None]]
Answer = Callable[[Request], Coroutine[Any, Any, Response]]


class CheckedRoute(APIRoute):
    """A route whose POST has no unknown query parameter and no content encoding."""

    def get_route_handler(self) -> Answer:
        by_fastapi = super().get_route_handler()

        async def answer(request: Request) -> Response:
            if request.method == "POST":
                self._check(request)
            return await by_fastapi(request)

        return answer

    @cached_property
    def _known(self) -> frozenset[str]:
        documented = (self.openapi_extra or {}).get("parameters", ())
        names = {str(one["name"]) for one in documented if one["in"] == "query"}
        return frozenset(names | _query_names(self.dependant))

    def _check(self, request: Request) -> None:
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"", "identity"}:
            raise EncodingUnknown("Content-Encoding: only identity; send the body as it is, without this header")
        transfer = request.headers.get("transfer-encoding", "").lower().split(",")
        if any(coding.strip() not in {"", "chunked", "identity"} for coding in transfer):
            raise EncodingUnknown("Transfer-Encoding: only chunked; send the body as it is")
        if (
            self.include_in_schema
            and request.url.query
            and (unknown := sorted(request.query_params.keys() - self._known))
        ):
            known = ", ".join(sorted(self._known)) or "there is none"
            raise InvalidRequest(f"{unknown[0][:64]}: unknown query parameter; known: {known}")


class HeadRoute(APIRoute):
    """HEAD of a route that answers GET: the same status and headers, without the body."""

    def get_route_handler(self) -> Answer:
        as_get = super().get_route_handler()

        async def answer(request: Request) -> Response:
            found = await as_get(request)
            head = Response(status_code=found.status_code, background=found.background)
            head.raw_headers = found.raw_headers
            return head

        return answer


def _query_names(dependant: Dependant) -> set[str]:
    inner = [_query_names(one) for one in dependant.dependencies]
    return {one.alias for one in dependant.query_params}.union(*inner)


def answered_by(usual: Usual) -> type[CheckedRoute]:
    """Return a route that FastAPI documents as its endpoint is declared, and `usual` answers.

    If `usual` returns None, the request is an unusual one and goes through FastAPI, which refuses in its words.
    """

    class ReadByHand(CheckedRoute):
        def get_route_handler(self) -> Answer:
            by_fastapi = super().get_route_handler()

            async def answer(request: Request) -> Response:
                if request.method == "POST":
                    self._check(request)
                return await usual(request) or await by_fastapi(request)

            return answer

    return ReadByHand
