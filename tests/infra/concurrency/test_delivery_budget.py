"""Bytes for clients in chunks: how much memory a delivery holds, and when it is given back."""

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
    chunks = [chunk async for chunk in budget.chunks(await an_image(first=first, size=size))]
    assert b"".join(chunks) == IMAGE[first : first + size]
    assert max(map(len, chunks)) <= WIDE_CHUNK_BYTES
    assert budget.taken == 0


async def test_a_delivery_holds_two_chunks_however_large_the_image_is() -> None:
    budget = DeliveryBudget(WIDE + NARROW)
    first, second = budget.chunks(await an_image()), budget.chunks(await an_image())
    await anext(first)
    assert budget.taken == WIDE
    budget.refuse_if_full()
    await anext(second)
    assert budget.taken == WIDE + NARROW, "beside others its chunks are narrow"
    assert len(await anext(second)) == CHUNK_BYTES
    with pytest.raises(Busy):
        budget.refuse_if_full()
    third = budget.chunks(await an_image())
    with pytest.raises(Busy) as refused:
        await anext(third)
    assert refused.value.retry_after > 0
    await first.aclose()
    assert budget.taken == NARROW
    assert b"".join([chunk async for chunk in budget.chunks(await an_image())]) == IMAGE


async def test_a_picture_that_is_in_memory_counts_whole() -> None:
    budget = DeliveryBudget(len(IMAGE) + NARROW)
    chunks = budget.chunks(Content.whole(IMAGE))
    assert await anext(chunks) == IMAGE
    assert budget.taken == len(IMAGE)
    with pytest.raises(Busy):
        await anext(budget.chunks(Content.whole(IMAGE)))
    await chunks.aclose()
    assert budget.taken == 0


@pytest.mark.parametrize("left", [None, b"short"])
async def test_bytes_that_are_gone_in_the_middle_end_the_delivery(left: bytes | None) -> None:
    async def erased(offset: int, size: int) -> bytes | None:
        return IMAGE[:size] if offset == 0 else left

    content = await content_of(erased, first=0, size=len(IMAGE))
    assert content is not None
    budget = DeliveryBudget()
    chunks = budget.chunks(content)
    await anext(chunks)
    with pytest.raises(Missing):
        await anext(chunks)
    assert budget.taken == 0


async def test_what_is_gone_from_the_start_has_no_content() -> None:
    async def nothing(_offset: int, _size: int) -> None:
        return None

    assert await content_of(nothing, first=0, size=1) is None
