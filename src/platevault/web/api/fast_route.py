"""Routes whose usual requests are read by hand: reading their parameters through FastAPI costs as much as a large part of their answer."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

Usual = Callable[[Request], Awaitable[Response | None]]


def answered_by(usual: Usual) -> type[APIRoute]:
    """A route that FastAPI documents as its endpoint is declared, and `usual` answers.

    Where that says None the request is an unusual one, and goes through FastAPI: what is refused is refused in its words.
    """

    class ReadByHand(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            by_fastapi = super().get_route_handler()

            async def answer(request: Request) -> Response:
                return await usual(request) or await by_fastapi(request)

            return answer

    return ReadByHand
