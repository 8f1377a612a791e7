"""The bytes of an image as an answer: a client that is slow, gone or one too many."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from starlette.types import Message

from platevault.domain.errors import Busy
from platevault.infra.concurrency.delivery_budget import CHUNK_BYTES, Content, DeliveryBudget, content_of
from platevault.web.api.catalog.content_response import ContentResponse
from platevault.web.dependencies import ABORT

SIZE = 1024 * 1024
ACTOR = "viewer"
SOON = 0.05


class AClient:
    """Takes `takes` messages of the body at once and the next ones never; leaves when `leave` is set."""

    def __init__(self, *, takes: int) -> None:
        self.left_to_take = takes
        self.body = b""
        self.status = 0
        self.ended = self.was_cut = False
        self.leave = asyncio.Event()

    @property
    def scope(self) -> dict[str, Any]:
        return {"type": "http", "extensions": {ABORT: self._cut}}

    async def receive(self) -> Message:
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        if self.left_to_take == 0:
            await asyncio.Event().wait()
        self.left_to_take -= 1
        self.body += message["body"]
        self.ended = not message["more_body"]

    def _cut(self) -> None:
        self.was_cut = True


async def zeros(_offset: int, size: int) -> bytes:
    return bytes(size)


async def an_image() -> Content:
    content = await content_of(zeros, first=0, size=SIZE)
    assert content is not None
    return content


def an_answer(chunks: AsyncGenerator[bytes], **more: Any) -> ContentResponse:
    return ContentResponse(chunks, size=SIZE, headers={}, **more)


async def test_a_client_that_takes_all_of_it_gets_all_of_it() -> None:
    deliveries, client = DeliveryBudget(), AClient(takes=100)
    await an_answer(deliveries.chunks(await an_image(), actor=ACTOR))(client.scope, client.receive, client.send)
    assert (client.status, len(client.body), client.ended, client.was_cut) == (200, SIZE, True, False)
    assert deliveries.taken == 0


async def test_a_client_that_takes_nothing_is_cut_and_its_memory_given_back() -> None:
    deliveries, client = DeliveryBudget(), AClient(takes=1)
    answer = an_answer(deliveries.chunks(await an_image(), actor=ACTOR), taken_within=SOON)
    async with asyncio.timeout(5):
        await answer(client.scope, client.receive, client.send)
    assert (client.ended, client.was_cut, deliveries.taken) == (False, True, 0)
    assert len(client.body) < SIZE


async def test_a_client_that_leaves_gives_its_memory_back_at_once() -> None:
    deliveries, client = DeliveryBudget(), AClient(takes=1)
    answering = asyncio.create_task(
        an_answer(deliveries.chunks(await an_image(), actor=ACTOR))(client.scope, client.receive, client.send)
    )
    await asyncio.sleep(SOON)
    assert deliveries.taken > 0
    client.leave.set()
    async with asyncio.timeout(5):
        await answering
    assert deliveries.taken == 0


async def test_memory_is_held_until_the_client_has_taken_the_last_chunk() -> None:
    deliveries, client = DeliveryBudget(), AClient(takes=1)
    small = Content.whole(bytes(CHUNK_BYTES))
    answering = asyncio.create_task(
        ContentResponse(deliveries.chunks(small, actor=ACTOR), size=small.size, headers={})(
            client.scope, client.receive, client.send
        )
    )
    await asyncio.sleep(SOON)
    assert (deliveries.taken, client.ended) == (CHUNK_BYTES, False)
    client.leave.set()
    await answering


async def test_past_the_budget_nothing_is_answered_but_busy() -> None:
    deliveries, client = DeliveryBudget(1), AClient(takes=100)
    with pytest.raises(Busy):
        await an_answer(deliveries.chunks(await an_image(), actor=ACTOR))(client.scope, client.receive, client.send)
    assert client.status == 0


async def test_bytes_that_are_gone_in_the_middle_cut_the_connection() -> None:
    async def erased(offset: int, size: int) -> bytes | None:
        return None if offset else bytes(size)

    content = await content_of(erased, first=0, size=SIZE)
    assert content is not None
    deliveries, client = DeliveryBudget(), AClient(takes=100)
    await an_answer(deliveries.chunks(content, actor=ACTOR))(client.scope, client.receive, client.send)
    assert (client.ended, client.was_cut, len(client.body), deliveries.taken) == (False, True, CHUNK_BYTES, 0)
