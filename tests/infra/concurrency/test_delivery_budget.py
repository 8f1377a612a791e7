"""Bytes for clients in chunks: how much memory a delivery holds, and when it is given back."""

from collections.abc import AsyncGenerator

import pytest

from platevault.domain.errors import Busy, Missing
from platevault.infra.concurrency.delivery_budget import (
    CHUNK_BYTES,
    CHUNKS_HELD,
    WIDE_CHUNK_BYTES,
    Content,
    DeliveryBudget,
    content_of,
)

IMAGE = bytes(range(256)) * 4096  # 1 MiB
NARROW = CHUNKS_HELD * CHUNK_BYTES
WIDE = CHUNKS_HELD * WIDE_CHUNK_BYTES


async def stored(offset: int, size: int) -> bytes:
    return IMAGE[offset : offset + size]


async def an_image(*, first: int = 0, size: int = len(IMAGE)) -> Content:
    content = await content_of(stored, first=first, size=size)
    assert content is not None
    return content


@pytest.mark.parametrize(("first", "size"), [(0, 0), (0, 1), (7, CHUNK_BYTES), (7, CHUNK_BYTES + 1), (0, len(IMAGE))])
async def test_the_bytes_come_whole_and_in_order(first: int, size: int) -> None:
    budget = DeliveryBudget()
    chunks = [chunk async for chunk in budget.chunks(await an_image(first=first, size=size), actor="a")]
    assert b"".join(chunks) == IMAGE[first : first + size]
    assert max(map(len, chunks)) <= WIDE_CHUNK_BYTES
    assert budget.taken == 0


async def test_a_delivery_holds_two_chunks_however_large_the_image_is() -> None:
    budget = DeliveryBudget(WIDE + NARROW)
    first, second = budget.chunks(await an_image(), actor="a"), budget.chunks(await an_image(), actor="b")
    await anext(first)
    assert budget.taken == WIDE
    budget.refuse_if_full(actor="c")
    await anext(second)
    assert budget.taken == WIDE + NARROW, "beside others its chunks are narrow"
    assert len(await anext(second)) == CHUNK_BYTES
    with pytest.raises(Busy):
        budget.refuse_if_full(actor="c")
    third = budget.chunks(await an_image(), actor="c")
    with pytest.raises(Busy) as refused:
        await anext(third)
    assert refused.value.retry_after > 0
    await first.aclose()
    assert budget.taken == NARROW
    assert b"".join([chunk async for chunk in budget.chunks(await an_image(), actor="a")]) == IMAGE


async def test_a_picture_that_is_in_memory_counts_whole() -> None:
    budget = DeliveryBudget(len(IMAGE) + NARROW)
    chunks = budget.chunks(Content.whole(IMAGE), actor="a")
    assert await anext(chunks) == IMAGE
    assert budget.taken == len(IMAGE)
    with pytest.raises(Busy):
        await anext(budget.chunks(Content.whole(IMAGE), actor="b"))
    await chunks.aclose()
    assert budget.taken == 0


@pytest.mark.parametrize("left", [None, b"short"])
async def test_bytes_that_are_gone_in_the_middle_end_the_delivery(left: bytes | None) -> None:
    async def erased(offset: int, size: int) -> bytes | None:
        return IMAGE[:size] if offset == 0 else left

    content = await content_of(erased, first=0, size=len(IMAGE))
    assert content is not None
    budget = DeliveryBudget()
    chunks = budget.chunks(content, actor="a")
    await anext(chunks)
    with pytest.raises(Missing):
        await anext(chunks)
    assert budget.taken == 0


async def test_what_is_gone_from_the_start_has_no_content() -> None:
    async def nothing(_offset: int, _size: int) -> None:
        return None

    assert await content_of(nothing, first=0, size=1) is None


async def readers(budget: DeliveryBudget, actor: str, *, most: int = 1000) -> list[AsyncGenerator[bytes]]:
    """As many deliveries of this actor as the budget takes, none of them read to its end."""
    taken: list[AsyncGenerator[bytes]] = []
    while len(taken) < most:
        chunks = budget.chunks(await an_image(), actor=actor)
        try:
            await anext(chunks)
        except Busy:
            break
        taken.append(chunks)
    return taken


async def test_the_readers_of_one_actor_leave_memory_for_those_of_each_other_actor() -> None:
    budget = DeliveryBudget(60 * NARROW)
    first = await readers(budget, "a")
    assert len(first) > 1
    held = budget.taken
    assert held <= 2 * (60 * NARROW - held), "at most twice as much as stays free"
    assert held + NARROW > 2 * (60 * NARROW - held - NARROW), "and not less"
    with pytest.raises(Busy):
        budget.refuse_if_full(actor="a")
    others = [await readers(budget, actor) for actor in ("b", "c", "d")]
    assert all(others), [len(one) for one in others]
    budget.refuse_if_full(actor="e")
    for chunks in (*first, *(one for some in others for one in some)):
        await chunks.aclose()
    assert budget.taken == 0
    assert len(await readers(budget, "a")) == len(first), "what was given back counts no more"


async def test_one_delivery_of_an_actor_is_within_its_share_however_large_it_is() -> None:
    budget = DeliveryBudget(len(IMAGE))
    chunks = budget.chunks(Content.whole(IMAGE), actor="a")
    assert await anext(chunks) == IMAGE
    with pytest.raises(Busy):
        budget.refuse_if_full(actor="b")
