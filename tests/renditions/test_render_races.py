"""Pictures that are made, erased and taken away at the same time: rows and objects agree, and nothing is left of a forgotten image."""

import asyncio
from datetime import timedelta

import pytest

from platevault.delivery.sql.removals import mark_removed, to_remove
from platevault.domain.errors import Busy, ImageRefused, Missing, StoreUnavailable
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import Recipe
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.renditions import render as develop
from platevault.renditions.capacity import IN_HAND_MOST, RenderCapacity
from platevault.renditions.render import picture_of
from platevault.renditions.variants import REFUSED_MOST, STANDS_FOR, UNNAMED_MOST, Wanted
from platevault.retention.erase import delete_bytes, remove_bytes
from platevault.retention.sql.tombstones import erase
from tests.makers import NOON
from tests.support.pictures import (
    THUMB,
    Clock,
    CountingMaker,
    a_rendition_context,
    an_original,
    found,
    key_of,
    keys,
    run,
)

THUMB_NAME = THUMB.name(of_plate=False)


def unnamed(width: int) -> Wanted:
    return Wanted(recipe=Recipe(width=width))


@pytest.fixture
def maker() -> CountingMaker:
    return CountingMaker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Slow(MemoryStore):
    """Puts and deletions of derived pictures wait for their gates; puts tell nobody of their end where `is_silent`."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(now=clock or Clock())
        self.puts = asyncio.Event()
        self.puts.set()
        self.deletions = asyncio.Event()
        self.deletions.set()
        self.began = asyncio.Event()
        self.is_silent = False
        self.arriving: list[asyncio.Task[bool]] = []
        self.read: list[str] = []

    async def create(self, key: str, new: NewObject) -> bool:
        if not key.startswith("derived/"):
            return await super().create(key, new)
        self.arriving.append(asyncio.create_task(self._arrive(key, new)))
        self.began.set()
        if self.is_silent:
            raise StoreUnavailable(f"could not put {key}: no answer")
        return await asyncio.shield(self.arriving[-1])

    async def _arrive(self, key: str, new: NewObject) -> bool:
        await self.puts.wait()
        return await super().create(key, new)

    async def delete(self, key: str) -> None:
        if key.startswith("derived/"):
            await self.deletions.wait()
        await super().delete(key)

    async def get(self, key: str) -> bytes | None:
        self.read.append(key)
        return await super().get(key)


@pytest.fixture
def slow(clock: Clock) -> Slow:
    return Slow(clock)


async def forget(database: Database) -> None:
    await database.transaction(lambda connection: erase(connection, ["evt_1"], state="deleted", now=NOON))


async def leases_end(database: Database) -> None:
    await run(
        database,
        """UPDATE images SET variants = (SELECT jsonb_object_agg(key, CASE WHEN jsonb_exists(value, 'until')
            THEN jsonb_set(value, '{until}', to_jsonb(now() - interval '1 s')) ELSE value END) FROM jsonb_each(variants))""",
    )


def upkeep_of(database: Database, objects: MemoryStore) -> JobContext:
    return JobContext(database=database, objects=objects, now=lambda: NOON)


async def told(database: Database) -> list[str]:
    """The keys of which the image's row tells."""
    return sorted(str(picture.key) for picture in (await found(database)).pictures.values())


@pytest.mark.parametrize("end", ["answer is lost", "process stops"])
async def test_a_put_that_arrives_after_the_image_was_erased_goes_when_it_must_have_ended(
    migrated: Database, slow: Slow, maker: CountingMaker, end: str
) -> None:
    await an_original(migrated, slow)
    context = a_rendition_context(migrated, slow, maker)
    slow.puts.clear()
    slow.is_silent = end == "answer is lost"
    asker = asyncio.create_task(picture_of(await found(migrated), THUMB, context=context))
    await slow.began.wait()
    if end == "process stops":
        await context.close()
    await asyncio.wait({asker})
    assert asker.cancelled() or isinstance(asker.exception(), StoreUnavailable)
    await forget(migrated)
    context = upkeep_of(migrated, slow)
    assert (await remove_bytes(context)).images == 0, "something may still arrive"
    slow.puts.set()
    await asyncio.gather(*slow.arriving)
    await leases_end(migrated)
    assert (await remove_bytes(context)).images == 1
    assert await keys(slow, "") == []


async def test_what_could_not_be_taken_back_from_a_forgotten_image_is_taken_by_the_eraser(
    migrated: Database, maker: CountingMaker
) -> None:
    class Keeps(MemoryStore):
        keeps = False

        async def delete(self, key: str) -> None:
            if self.keeps:
                raise StoreUnavailable(f"could not delete {key}")
            await super().delete(key)

    objects = Keeps()
    await an_original(migrated, objects)
    maker.gate.clear()
    asker = asyncio.create_task(
        picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    )
    await maker.asked.wait()
    await forget(migrated)
    objects.keeps = True
    maker.gate.set()
    with pytest.raises(StoreUnavailable):
        await asker
    assert await keys(objects) == [key_of()]
    objects.keeps = False
    await leases_end(migrated)
    assert (await remove_bytes(upkeep_of(migrated, objects))).images == 1
    assert await keys(objects, "") == []


async def test_an_image_whose_folder_was_listed_while_a_picture_was_in_hand_is_looked_at_again(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    """Also when the lease ends between the list and the mark."""
    await an_original(migrated, slow)
    one = await found(migrated)
    assert await a_rendition_context(migrated, slow, maker).ledger.claim(
        one.image, THUMB_NAME, lease=timedelta(minutes=1), now=NOON
    )
    await forget(migrated)
    images = await to_remove(migrated, after=("", ""), most=10)
    for image in images:
        await delete_bytes(image, objects=slow)
    await slow.create(key_of(), NewObject(data=b"late", content_type="image/webp", metadata={}))
    await leases_end(migrated)
    assert await mark_removed(migrated, images, now=NOON) == 0
    assert (await remove_bytes(upkeep_of(migrated, slow))).images == 1
    assert await keys(slow, "") == []


async def test_what_nobody_answered_for_can_be_made_by_others_at_once(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    await an_original(migrated, slow)
    slow.is_silent = True
    with pytest.raises(StoreUnavailable):
        await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, slow, maker))
    slow.is_silent = False
    assert (
        await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, slow, maker))
    ).picture is not None
    assert await told(migrated) == await keys(slow)


async def test_a_put_that_takes_longer_than_its_lease_is_given_up(
    migrated: Database, slow: Slow, maker: CountingMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(develop, "PUT_ENDS_WITHIN_SECONDS", 0.3)
    await an_original(migrated, slow)
    slow.puts.clear()
    with pytest.raises(StoreUnavailable, match="in time"):
        async with asyncio.timeout(60):
            await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, slow, maker))
    slow.puts.set()


async def test_a_row_that_is_gone_meanwhile_is_answered_as_one_that_never_was(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    await an_original(migrated, slow)
    one, context = await found(migrated), a_rendition_context(migrated, slow, maker)
    await run(migrated, "ALTER TABLE images DISABLE TRIGGER USER")
    await run(migrated, "DELETE FROM images")
    with pytest.raises(Missing):
        await picture_of(one, THUMB, context=context)
    assert maker.recipes == []


async def test_a_surplus_picture_that_somebody_makes_anew_is_left_to_him(
    migrated: Database, slow: Slow, maker: CountingMaker, clock: Clock
) -> None:
    await an_original(migrated, slow)
    here = a_rendition_context(migrated, slow, maker, now=clock)
    for width in range(1, UNNAMED_MOST + 1):
        await picture_of(await found(migrated), unnamed(width), context=here)
        clock.now += timedelta(seconds=1)
    clock.now += STANDS_FOR
    waits = CountingMaker()
    waits.gate.clear()
    there = a_rendition_context(migrated, slow, waits, now=clock)
    anew = asyncio.create_task(picture_of(await found(migrated), unnamed(1), context=there))
    await waits.asked.wait()
    await picture_of(await found(migrated), unnamed(99), context=here)
    waits.gate.set()
    assert (await anew).picture is not None
    assert await told(migrated) == await keys(slow)
    assert len(await told(migrated)) == UNNAMED_MOST


async def test_nobody_makes_a_picture_anew_under_the_hands_of_who_deletes_it(
    migrated: Database, slow: Slow, maker: CountingMaker, clock: Clock
) -> None:
    await an_original(migrated, slow)
    context = a_rendition_context(migrated, slow, maker, now=clock)
    for width in range(1, UNNAMED_MOST + 1):
        await picture_of(await found(migrated), unnamed(width), context=context)
        clock.now += timedelta(seconds=1)
    slow.deletions.clear()
    newer = asyncio.create_task(picture_of(await found(migrated), unnamed(99), context=context))
    while unnamed(1).name(of_plate=False) in (await found(migrated)).pictures:  # noqa: ASYNC110  it is in a row
        await asyncio.sleep(0.01)
    again = asyncio.create_task(
        picture_of(await found(migrated), unnamed(1), context=a_rendition_context(migrated, slow, maker))
    )
    await asyncio.sleep(0.3)
    assert not again.done(), "its object is about to be deleted"
    slow.deletions.set()
    await asyncio.gather(newer, again)
    assert await told(migrated) == await keys(slow)


async def test_many_makers_at_once_leave_no_more_than_the_limit_and_nothing_that_no_row_names(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    await an_original(migrated, slow)
    one = await found(migrated)
    rooms = [a_rendition_context(migrated, slow, maker) for _ in range(2)]
    await asyncio.gather(*(picture_of(one, unnamed(width), context=rooms[width % 2]) for width in range(1, 61)))
    assert len(await told(migrated)) == UNNAMED_MOST
    assert await told(migrated) == await keys(slow)


async def test_many_refusals_at_once_do_not_fill_the_row(migrated: Database, slow: Slow, maker: CountingMaker) -> None:
    await an_original(migrated, slow)
    context = a_rendition_context(migrated, slow, maker)
    await picture_of(await found(migrated), unnamed(1), context=context)
    maker.refuses = "too large like that"
    one = await found(migrated)
    outcomes = await asyncio.gather(
        *(picture_of(one, unnamed(width), context=context) for width in range(2, 62)), return_exceptions=True
    )
    assert {type(outcome) for outcome in outcomes} == {ImageRefused}
    pictures = (await found(migrated)).pictures
    assert len(pictures) == REFUSED_MOST + 1
    assert pictures[unnamed(1).name(of_plate=False)].key is not None, "a refusal drives out nothing that was made"


async def test_leases_of_the_dead_do_not_pile_up_in_the_row(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    await an_original(migrated, slow)
    one = await found(migrated)
    for width in range(1, 6):
        ledger = a_rendition_context(migrated, slow, maker).ledger
        assert await ledger.claim(one.image, unnamed(width).name(of_plate=False), lease=timedelta(minutes=1), now=NOON)
    await leases_end(migrated)
    await picture_of(one, THUMB, context=a_rendition_context(migrated, slow, maker))
    (row,) = await run(migrated, "SELECT variants FROM images")
    assert list(row["variants"]) == [THUMB_NAME]


async def test_who_finds_no_place_has_fetched_and_claimed_nothing(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    await an_original(migrated, slow)
    context = a_rendition_context(migrated, slow, maker, capacity=RenderCapacity(places=10))
    maker.gate.clear()
    one = await found(migrated)
    asked = [asyncio.create_task(picture_of(one, unnamed(width), context=context)) for width in range(1, 31)]
    await maker.asked.wait()
    async with asyncio.timeout(60):
        while len(refused := [task for task in asked if task.done()]) < 20:
            await asyncio.wait(set(asked) - set(refused), return_when=asyncio.FIRST_COMPLETED)
    assert {type(task.exception()) for task in refused} == {Busy}
    assert len(slow.read) <= IN_HAND_MOST < 10
    (row,) = await run(migrated, "SELECT variants FROM images")
    assert len(row["variants"]) <= IN_HAND_MOST
    maker.gate.set()
    outcomes = await asyncio.gather(*(task for task in asked if task not in refused))
    assert {outcome.state for outcome in outcomes} == {ImageState.STORED}
    assert len(slow.read) == 10


async def test_a_picture_that_somebody_waits_for_goes_before_those_that_nobody_does(
    migrated: Database, slow: Slow, maker: CountingMaker
) -> None:
    """Also where it is one of those."""
    await an_original(migrated, slow)
    context = a_rendition_context(migrated, slow, maker)
    turns = context.capacity.turns
    maker.gate.clear()
    one = await found(migrated)
    each = [*(unnamed(width) for width in range(1, 20)), THUMB]
    behind = [asyncio.create_task(picture_of(one, wanted, context=context, behind=True)) for wanted in each]
    async with asyncio.timeout(60):
        while turns.waiting < 2:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        waited_for = asyncio.create_task(picture_of(one, THUMB, context=context))
        while turns.waiting < 3:  # noqa: ASYNC110  it has no event
            await asyncio.sleep(0.01)
        assert len(maker.recipes) == 2, "all turns are taken"
        maker.gate.set()
        await waited_for
        assert maker.recipes.index(THUMB.recipe) == 2
        await asyncio.gather(*behind)
    assert maker.recipes.count(THUMB.recipe) == 1
