"""Who gets a place, room and a turn when there are not enough of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from platevault.domain.errors import Busy, SpoolFull
from platevault.infra.postgres.database import Database
from platevault.ingest import admission
from platevault.ingest import context as ingest_context
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from tests.support.deliveries import CONTENT_TYPE, a_batch
from tests.support.receptions import MEBI, Node, a_node


async def dripping(*, bytes_a_drip: int = 1) -> AsyncIterator[bytes]:
    while True:
        yield b"x" * bytes_a_drip
        await asyncio.sleep(0.1)


def drip(node: Node, *, declared: int = MEBI) -> asyncio.Task[object]:
    delivery = IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=declared)
    return asyncio.create_task(accept(dripping(), delivery, ingest_context=node.ingest_context))


@asynccontextmanager
async def all_turns(node: Node) -> AsyncIterator[None]:
    """Nobody else gets one for the length of the block."""
    async with AsyncExitStack() as taken:
        for _ in range(ingest_context.TURNS_AT_ONCE):
            await taken.enter_async_context(node.ingest_context.turns.turn())
        yield


async def end(tasks: list[asyncio.Task[object]]) -> list[object]:
    for task in tasks:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_as_many_dripping_bodies_as_there_are_places_do_not_keep_an_honest_one_out(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    tasks = [drip(node) for _ in range(admission.BODIES_AT_ONCE)]
    await asyncio.sleep(0.6)
    assert (await node.send(a_batch())).status_code == 201
    more = [drip(node) for _ in range(admission.BODIES_AT_ONCE)]
    await asyncio.sleep(0.7)
    assert (await node.send(a_batch())).status_code == 201, "and not when they come again and again either"
    ended = await end(tasks + more)
    assert any(isinstance(one, Busy) for one in ended), "who gave way may come again, and is told so"
    await node.uploaded()
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0
    assert node.ingest_context.memory.taken == 0


async def test_dripping_bodies_do_not_hold_the_spool_against_an_honest_one_for_long(
    migrated: Database, tmp_path: Path
) -> None:
    node = await a_node(migrated, tmp_path / "spool", spool_bytes=4 * MEBI)
    tasks = [drip(node, declared=MEBI) for _ in range(3)]
    await asyncio.sleep(0.6)
    with pytest.raises(SpoolFull) as refused:
        await node.send(a_batch())
    assert refused.value.retry_after == 1
    await asyncio.sleep(0.2)
    assert (await node.send(a_batch())).status_code == 201
    await end(tasks)
    await node.uploaded()


async def test_a_body_below_the_least_rate_is_cut_and_may_come_again(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.ingest.transfer_rate.GRACE_SECONDS", 0.3)
    node = await a_node(migrated, tmp_path / "spool")
    with pytest.raises(Busy, match="too slowly"):
        async with asyncio.timeout(30):
            await drip(node)
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0


async def test_a_batch_waits_for_its_turn_for_a_bounded_time_and_nothing_of_it_stays(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "TURN_WITHIN_SECONDS", 0.2)
    node = await a_node(migrated, tmp_path / "spool")
    async with all_turns(node):
        with pytest.raises(Busy):
            await asyncio.wait_for(node.send(a_batch()), 30)
        assert node.spool_files() == []
    assert (await node.send(a_batch())).status_code == 201
    await node.uploaded()


async def test_with_enough_batches_waiting_for_their_turn_a_new_one_is_refused_before_its_body_is_read(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "IN_TURN_AT_ONCE", 2)
    node = await a_node(migrated, tmp_path / "spool")
    read = False

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        read = True
        yield b""

    async with all_turns(node):
        waiting = [asyncio.create_task(node.send(a_batch())) for _ in range(2)]
        await asyncio.sleep(0.3)
        with pytest.raises(Busy):
            await accept(
                body(),
                IncomingRequest(content_type=CONTENT_TYPE, declared_bytes=10),
                ingest_context=node.ingest_context,
            )
    assert not read
    assert {(await one).status_code for one in waiting} == {201}
    assert (await node.send(a_batch())).status_code == 201
    await node.uploaded()


async def test_fewer_are_recorded_at_once_while_the_store_takes_less_than_comes(
    migrated: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await a_node(migrated, tmp_path / "spool", spool_bytes=8 * MEBI)
    await node.send(a_batch(), stored=True)

    async def recorded_at_once() -> int:
        """How many of eight have their turn at the same time."""
        let_go, had = asyncio.Event(), []

        async def one() -> None:
            async with admission.turn(node.ingest_context):
                had.append(1)
                await let_go.wait()

        tasks = [asyncio.create_task(one()) for _ in range(8)]
        await asyncio.sleep(0.05)
        at_once = len(had)
        let_go.set()
        await asyncio.gather(*tasks)
        return at_once

    monkeypatch.setattr(ingest_context, "TOOK_WITHIN_SECONDS", 60.0)
    on_their_way = [
        asyncio.create_task(asyncio.sleep(60, result=True)) for _ in range(ingest_context.UPLOADS_BEHIND + 1)
    ]
    assert await recorded_at_once() == ingest_context.TURNS_AT_ONCE
    node.ingest_context.uploads.update(on_their_way)
    node.uploader.breaker.succeeded()
    assert await recorded_at_once() == 3
    filling = [node.uploader.spool.begin("filling-1.batch", reserve=2 * MEBI, keep=False)]
    assert await recorded_at_once() == 2, "with a quarter of the spool in use"
    filling.append(node.uploader.spool.begin("filling-2.batch", reserve=2 * MEBI, keep=False))
    assert await recorded_at_once() == 1, "with half of it"
    monkeypatch.setattr(ingest_context, "TOOK_WITHIN_SECONDS", -1.0)
    assert await recorded_at_once() == ingest_context.TURNS_AT_ONCE, "a store that is away is what the spool is for"
    for draft in filling:
        draft.discard()
    node.ingest_context.uploads.difference_update(on_their_way)
    for task in on_their_way:
        task.cancel()
