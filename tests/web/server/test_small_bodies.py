"""A body that is read whole into memory has to come within a time."""

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from platevault.web import middleware
from platevault.web.middleware import SmallBodyLimit


async def test_a_small_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "SMALL_BODY_WITHIN_SECONDS", 0.2)

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass

    async def dripping() -> Message:
        await asyncio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def sent(message: Message) -> None:
        raise AssertionError(message)

    scope: Scope = {"type": "http", "path": "/v1/search", "headers": []}
    with pytest.raises(HTTPException) as refused:
        await asyncio.wait_for(SmallBodyLimit(reading)(scope, dripping, sent), 30)
    assert refused.value.status_code == 408
