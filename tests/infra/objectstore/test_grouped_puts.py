"""Puts of a batch together, against servers that answer late, in pieces, with errors, or not at all."""

import asyncio
import contextlib
import hashlib
from dataclasses import replace

import pytest
from tests.infra.objectstore.test_put import STORED, Says, Scripted, an_answer, scripted

from platevault.domain.errors import InvalidRequest
from platevault.infra.concurrency.put_slots import PutSlots
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.grouped_puts import GroupedPuts
from platevault.infra.objectstore.s3.http_connection import _is_bare_success
from platevault.infra.objectstore.s3.put import PutClient

SECONDS = 3.0  # more than a busy machine takes for an answer


def an_object(number: int) -> NewObject:
    data = b"jpeg-%d" % number
    digest = hashlib.sha256(data).digest()
    return NewObject(data=memoryview(data), content_type="image/jpeg", metadata={"number": str(number)}, sha256=digest)


def objects(count: int) -> list[tuple[str, NewObject]]:
    return [(f"full/2026/12/01/{number}_full.jpg", an_object(number)) for number in range(count)]


def puts_to(server: Scripted, *, room: int = 1 << 30) -> GroupedPuts:
    client = PutClient(
        endpoint=server.endpoint, secure=False, region="us-east-1", bucket="b", access_key="a" * 20, secret_key="s" * 40
    )
    return client.grouped(seconds=SECONDS, has_room=lambda size: size <= room)


def always() -> bool:
    return True


async def outcome(server: Scripted, count: int, *, slots: PutSlots | None = None) -> list[bool]:
    """Which of the puts are known to be stored; no slot is taken afterwards."""
    slots = slots or PutSlots(8)
    took = await puts_to(server).create(objects(count), slots=slots, may_go_on=always)
    assert slots.taken == 0
    return [seconds is not None for seconds in took]


async def test_all_of_a_batch_are_put_each_with_its_bytes_over_few_connections() -> None:
    async with scripted(Says()) as server:
        assert await outcome(server, 20, slots=PutSlots(3)) == [True] * 20
        assert sorted(server.bodies) == sorted(b"jpeg-%d" % number for number in range(20))
        assert server.connections == 3
        for head, body in zip(server.heads, server.bodies, strict=True):
            assert hashlib.sha256(body).hexdigest().encode() in head
            assert b"if-none-match:*" in head


@pytest.mark.parametrize(
    "says",
    [
        Says((an_answer("412 Precondition Failed", "PreconditionFailed"),)),
        Says((an_answer("500 Internal Server Error", "InternalError"),)),
        Says((an_answer("403 Forbidden", "AccessDenied"),)),
        Says((b"HTTP/1.1 204 No Content\r\n\r\n",)),
        Says((b"220 smtp\r\n",)),
        Says((), hangs_up=True),
        Says((), reads_body=False, hangs_up=True),
        Says(()),
        Says((STORED[:20],)),
    ],
    ids=["412", "500", "403", "204", "no HTTP", "closed", "closed early", "silent", "half an answer"],
)
async def test_whatever_is_not_a_whole_200_is_left_to_the_caller_and_the_others_are_stored(says: Says) -> None:
    async with scripted(Says(), says, Says()) as server:
        assert sorted(await outcome(server, 5, slots=PutSlots(1))) == [False, True, True, True, True]


@pytest.mark.parametrize("cut", [1, 15, len(STORED) - 2])
async def test_an_answer_in_pieces_is_an_answer(cut: int) -> None:
    async with scripted(Says((STORED[:cut], STORED[cut:]))) as server:
        assert await outcome(server, 3) == [True] * 3


async def test_a_store_that_is_not_there_stores_nothing_and_keeps_no_slot() -> None:
    server = Scripted([], endpoint="127.0.0.1:9")
    assert await outcome(server, 3) == [False] * 3


async def test_those_that_wait_for_a_slot_are_given_up_once_the_store_is_known_to_refuse() -> None:
    async with scripted(Says()) as server:
        slots, asked = PutSlots(1), 0

        def twice() -> bool:
            nonlocal asked
            asked += 1
            return asked <= 2

        took = await puts_to(server).create(objects(50), slots=slots, may_go_on=twice)
        assert sum(seconds is not None for seconds in took) == 2
        assert len(server.heads) == 2
        assert slots.taken == 0


async def test_a_group_that_is_cancelled_gives_its_slots_back_and_closes_what_is_under_way() -> None:
    async with scripted(Says(())) as server:
        slots = PutSlots(2)
        group = asyncio.create_task(puts_to(server).create(objects(10), slots=slots, may_go_on=always))
        await server.has_a_body.wait()
        group.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await group
        assert slots.taken == 0
        await asyncio.wait_for(server.has_lost_one.wait(), 10)
        assert slots.taken == 0


async def test_a_group_that_is_cancelled_before_its_connections_begin_gives_its_slots_back() -> None:
    async with scripted(Says(())) as server:
        slots = PutSlots(4)
        group = asyncio.create_task(puts_to(server).create(objects(10), slots=slots, may_go_on=always))
        await asyncio.sleep(0)
        assert slots.taken == 4
        group.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await group
        await asyncio.sleep(0.1)
        assert slots.taken == 0


@pytest.mark.parametrize(("status", "told"), [("503 Slow Down", 4), ("429 Too Many Requests", 4), ("500 Error", 0)])
async def test_a_store_that_asks_for_fewer_requests_is_heard_at_each_answer(status: str, told: int) -> None:
    async with scripted(Says((an_answer(status, "SlowDown"),))) as server:
        heard: list[int] = []
        slots = PutSlots(1)
        await puts_to(server).create(
            objects(4), slots=slots, may_go_on=always, on_busy=lambda: heard.append(len(server.heads))
        )
        assert heard == list(range(1, told + 1)), "before the next put is sent"


async def test_two_groups_share_the_slots_in_the_order_of_asking() -> None:
    async with scripted(Says()) as server:
        slots, puts = PutSlots(1), puts_to(server)
        one = asyncio.create_task(puts.create(objects(5), slots=slots, may_go_on=always))
        await asyncio.sleep(0)
        other = asyncio.create_task(puts.create(objects(5), slots=slots, may_go_on=always))
        assert all(seconds is not None for seconds in [*await one, *await other])
        assert server.connections == 1


@pytest.mark.parametrize(("room", "stored"), [(17, False), (18, True)])
async def test_a_batch_that_the_disk_of_the_store_has_no_room_for_is_left_to_the_caller(
    room: int, stored: bool
) -> None:
    async with scripted(Says()) as server:
        took = await puts_to(server, room=room).create(objects(3), slots=PutSlots(3), may_go_on=always)
        assert [seconds is not None for seconds in took] == [stored] * 3
        assert len(server.heads) == (3 if stored else 0)


async def test_metadata_that_is_none_is_found_before_anything_is_sent() -> None:
    async with scripted(Says()) as server:
        key, good = objects(1)[0]
        bad = replace(good, metadata={"camera": "two\nlines"})
        slots = PutSlots(2)
        with pytest.raises(InvalidRequest):
            await puts_to(server).create([(key, good), (f"{key}2", bad)], slots=slots, may_go_on=always)
        assert (server.heads, slots.taken) == ([], 0)


@pytest.mark.parametrize(
    ("answer", "is_bare"),
    [
        (STORED, True),
        (STORED.lower().replace(b"http", b"HTTP"), True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Amz-Request-Id: 1\r\n\r\n", True),
        (STORED + STORED, False),
        (STORED[:-1], False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 00\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\nX-Content-Length: 0\r\n\r\n", False),
    ],
)
def test_only_a_whole_answer_without_body_of_a_connection_that_stays_needs_no_parser(
    answer: bytes, is_bare: bool
) -> None:
    assert _is_bare_success(answer) == is_bare
