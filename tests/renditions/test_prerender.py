"""Variants made before anybody asks: of newly stored images by the clock, of all images after a change."""

import asyncio
import hashlib
from datetime import timedelta

import pytest

from platevault.domain.errors import Busy, ObjectRefused, StoreUnavailable
from platevault.domain.rendition_recipe import Recipe, Rendered
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.sql.runs import latest_run
from platevault.renditions.context import RenditionContext
from platevault.renditions.prerender import AGAIN_AFTER, MAKE_VARIANTS, WAITED_FOR, prerender
from platevault.renditions.rebuild import REBUILD_VARIANTS, rebuild_variants
from platevault.renditions.variants import STANDS_FOR, Variants
from tests.makers import NOON, a_detection, an_image, put
from tests.support.pictures import (
    BOX,
    ORIGINAL,
    THUMB,
    VARIANTS,
    Clock,
    CountingMaker,
    a_rendition_context,
    an_original,
    found,
    keys,
    run,
)

AT_INGEST = Variants.parse('{"thumb": {"width": 320, "format": "webp", "at_ingest": true}, "poster": {"width": 1280}}')


@pytest.fixture
def objects() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def maker() -> CountingMaker:
    return CountingMaker()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(migrated: Database, objects: MemoryStore, maker: CountingMaker, clock: Clock) -> RenditionContext:
    return a_rendition_context(migrated, objects, maker, variants=AT_INGEST, now=clock)


async def test_newly_stored_images_get_the_variants_that_ask_for_it(
    migrated: Database, objects: MemoryStore, context: RenditionContext, maker: CountingMaker
) -> None:
    await an_original(migrated, objects, "evt_before")
    assert await prerender(context) == 0, "it begins with what comes from now on"
    for number in range(5):
        await an_original(migrated, objects, f"evt_{number}", kinds=("full", "crop") if number else ("full",), box=BOX)
    assert await prerender(context) == 10, "one plate was cut out of its scene"
    assert {recipe.width for recipe in maker.recipes} == {320}
    assert len(await keys(objects)) == 10
    assert await prerender(context) == 0
    assert len(maker.recipes) == 10
    last = await latest_run(migrated, MAKE_VARIANTS)
    assert last is not None
    assert last.counts["made"] == 10


async def test_an_image_that_waits_for_the_store_is_waited_for_but_not_for_ever(
    migrated: Database, objects: MemoryStore, context: RenditionContext, clock: Clock
) -> None:
    await prerender(context)
    pending = an_image("full", state="pending", sha256=hashlib.sha256(ORIGINAL).digest(), size=len(ORIGINAL))
    async with migrated.reading() as connection:
        await put(connection, a_detection("evt_waits", images=[pending]))
        await connection.commit()
    await an_original(migrated, objects, "evt_stored")
    assert await prerender(context) == 0
    clock.now += WAITED_FOR + timedelta(seconds=2)
    assert await prerender(context) == 1


async def test_a_run_that_the_store_ended_is_begun_again(
    migrated: Database, objects: MemoryStore, context: RenditionContext, maker: CountingMaker
) -> None:
    class Silent(MemoryStore):
        async def get(self, key: str) -> bytes | None:
            raise StoreUnavailable(f"could not get {key}")

        async def check(self) -> None:
            raise StoreUnavailable("nobody is there")

    await prerender(context)
    await an_original(migrated, objects)
    with pytest.raises(StoreUnavailable):
        await prerender(a_rendition_context(migrated, Silent(), maker, variants=AT_INGEST, now=context.now))
    assert await prerender(context) == 1


async def test_what_cannot_be_decoded_is_gone_past(
    migrated: Database, objects: MemoryStore, context: RenditionContext, maker: CountingMaker
) -> None:
    await prerender(context)
    await an_original(migrated, objects, "evt_1")
    maker.refuses = "cut off"
    assert await prerender(context) == 0
    maker.refuses = None
    await an_original(migrated, objects, "evt_2")
    assert await prerender(context) == 1
    assert len(maker.recipes) == 2


class Poisoned(CountingMaker):
    """Cannot make those of the plate, for a reason that says nothing of the plate; `is_well` otherwise."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.tries = 0
        self.is_well = True

    async def render(self, original: bytes, recipe: Recipe) -> Rendered:
        if recipe.crop is not None or not self.is_well:
            self.tries += 1
            raise self.error
        return await super().render(original, recipe)

    async def check(self) -> None:
        if not self.is_well:
            raise Busy("no picture can be decoded now")


@pytest.mark.parametrize(
    "error",
    [Busy("it took too long"), ObjectRefused("it is not given"), StoreUnavailable("cut off"), KeyError("width")],
)
async def test_an_image_that_always_fails_holds_up_no_other_and_is_tried_again_a_few_times(
    migrated: Database, objects: MemoryStore, clock: Clock, error: Exception
) -> None:
    maker = Poisoned(error)
    context = a_rendition_context(migrated, objects, maker, variants=AT_INGEST, now=clock)
    await prerender(context)
    await an_original(migrated, objects, "evt_1", box=BOX)
    for number in range(3):
        await an_original(migrated, objects, f"evt_2{number}")
    assert await prerender(context) == 4, "its scene, and the others"
    last = await latest_run(migrated, MAKE_VARIANTS)
    assert last is not None
    assert last.findings["examples"]["failed"] == ["evt_1 full thumb"]
    assert await prerender(context) == 0
    assert maker.tries == 1, "not at once"
    for after in AGAIN_AFTER:
        clock.now += after
        await prerender(context)
    assert maker.tries == 1 + len(AGAIN_AFTER)
    last = await latest_run(migrated, MAKE_VARIANTS)
    assert last is not None
    assert (last.counts["given up"], last.findings["examples"]["given up"]) == (1, ["evt_1"])
    clock.now += timedelta(days=1)
    assert await prerender(context) == 0
    assert maker.tries == 1 + len(AGAIN_AFTER), "it is left to who asks for it"
    again = await rebuild_variants(context, variants=AT_INGEST.each, act=True)
    assert (again.outcome, again.counts["failed"], again.counts["made"]) == ("done", 2, 4)


async def test_what_failed_for_a_time_is_made_when_it_is_tried_again(
    migrated: Database, objects: MemoryStore, clock: Clock
) -> None:
    maker = Poisoned(Busy("it took too long"))
    context = a_rendition_context(migrated, objects, maker, variants=AT_INGEST, now=clock)
    await prerender(context)
    await an_original(migrated, objects, "evt_1", box=BOX)
    assert await prerender(context) == 1
    well = CountingMaker()
    clock.now += AGAIN_AFTER[0]
    for made in (1, 0):
        assert await prerender(a_rendition_context(migrated, objects, well, variants=AT_INGEST, now=clock)) == made
    last = await latest_run(migrated, MAKE_VARIANTS)
    assert last is not None
    assert last.findings["again"] == {}


async def test_while_no_picture_at_all_can_be_made_everything_waits(
    migrated: Database, objects: MemoryStore, clock: Clock
) -> None:
    maker = Poisoned(Busy("too many"))
    context = a_rendition_context(migrated, objects, maker, variants=AT_INGEST, now=clock)
    await prerender(context)
    maker.is_well = False
    for number in range(3):
        await an_original(migrated, objects, f"evt_{number}")
    for _ in range(6):
        with pytest.raises(Busy):
            await prerender(context)
        clock.now += timedelta(hours=1)
    assert await keys(objects) == []
    maker.is_well = True
    for _ in range(
        2
    ):  # one that was still under way when the run before ended comes to this or that, and is tried again
        await prerender(context)
        clock.now += timedelta(hours=1)
    assert len(await keys(objects)) == 3


async def test_only_so_many_wait_for_another_try(
    migrated: Database, objects: MemoryStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platevault.renditions.prerender.AGAIN_MOST", 2)
    maker = Poisoned(Busy("it took too long"))
    context = a_rendition_context(migrated, objects, maker, variants=AT_INGEST, now=clock)
    await prerender(context)
    for number in range(4):
        await an_original(migrated, objects, f"evt_{number}", box=BOX)
    assert await prerender(context) == 4
    last = await latest_run(migrated, MAKE_VARIANTS)
    assert last is not None
    assert (last.counts["given up"], sorted(last.findings["again"])) == (2, ["evt_0", "evt_1"])


async def test_a_rebuild_makes_what_lacks_and_leaves_what_is_there(
    migrated: Database, objects: MemoryStore, maker: CountingMaker, clock: Clock
) -> None:
    context = a_rendition_context(migrated, objects, maker, now=clock)
    for number in range(7):
        await an_original(migrated, objects, f"evt_{number}")
    dry = await rebuild_variants(context, variants=VARIANTS.each, act=False)
    assert (dry.counts["images"], dry.counts["lacking"], maker.recipes) == (7, 7, [])
    passed: list[int] = []
    done = await rebuild_variants(context, variants=VARIANTS.each, act=True, moved=passed.append)
    assert (done.outcome, done.counts["made"], sum(passed)) == ("done", 7, 7)
    again = await rebuild_variants(context, variants=VARIANTS.each, act=True)
    assert (again.counts["made"], len(maker.recipes)) == (0, 7)
    changed = Variants.parse('{"thumb": {"width": 640}}')
    assert (await rebuild_variants(context, variants=changed.each, act=True)).counts["made"] == 7
    clock.now += STANDS_FOR
    assert (await rebuild_variants(context, variants=changed.each, act=True)).counts["made"] == 7
    (row,) = await run(migrated, "SELECT count(*) AS runs FROM job_runs WHERE job = :job", job=REBUILD_VARIANTS)
    assert row["runs"] == 5


async def test_a_rebuild_that_was_ended_goes_on_where_it_was_and_waits_while_too_much_is_in_hand(
    migrated: Database, objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BusyMaker(CountingMaker):
        tries = 0
        third = asyncio.Event()

        async def render(self, original: bytes, recipe: Recipe) -> Rendered:
            self.tries += 1
            if self.tries % 2:
                raise Busy("too many")
            if len(self.recipes) >= 3:
                self.third.set()
                await asyncio.Event().wait()
            return await super().render(original, recipe)

        async def check(self) -> None:
            raise Busy("too many")

    monkeypatch.setattr("platevault.renditions.make_variants.BUSY_WAIT_SECONDS", 0.01)
    maker = BusyMaker()
    context = a_rendition_context(migrated, objects, maker)
    for number in range(5):
        await an_original(migrated, objects, f"evt_{number}")
    task = asyncio.create_task(rebuild_variants(context, variants=VARIANTS.each, act=True))
    await maker.third.wait()
    task.cancel()
    await asyncio.wait({task})
    await context.close()
    fresh = CountingMaker()
    again = await rebuild_variants(a_rendition_context(migrated, objects, fresh), variants=VARIANTS.each, act=True)
    assert again.outcome == "done"
    assert 1 <= len(fresh.recipes) <= 3, "several are made at once; what was under way may have to be made again"


async def test_a_rebuild_keeps_nobody_from_erasing(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    from_now = a_rendition_context(migrated, objects, maker)
    await an_original(migrated, objects)
    maker.gate.clear()
    task = asyncio.create_task(rebuild_variants(from_now, variants=VARIANTS.each, act=True))
    await maker.asked.wait()
    (row,) = await run(migrated, "SELECT count(*) AS held FROM pg_locks WHERE locktype = 'advisory'")
    assert row["held"] == 0
    maker.gate.set()
    assert (await task).counts["made"] == 1
    assert THUMB.name(of_plate=False) in (await found(migrated)).pictures
    assert from_now.now() == NOON
