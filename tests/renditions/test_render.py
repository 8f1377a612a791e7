"""A derived picture is made once, whoever asks, and nothing of it is left of an image that was forgotten."""

import asyncio
import contextlib
from datetime import timedelta
from pathlib import Path

import pytest

from platevault.domain.errors import Busy, Corrupted, ImageRefused, InvalidRequest, StoreUnavailable
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import Crop, Recipe, Rendered
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.postgres.database import Database
from platevault.jobs.run import JobContext
from platevault.renditions import render as develop
from platevault.renditions.render import picture_of
from platevault.renditions.variants import REFUSED_FOR, REFUSED_MOST, STANDS_FOR, UNNAMED_MOST, Variants, Wanted
from platevault.retention.erase import remove_bytes
from platevault.retention.sql.tombstones import erase
from tests.makers import NOON
from tests.support.pictures import (
    BOX,
    ORIGINAL,
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


@pytest.fixture
def objects() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def maker() -> CountingMaker:
    return CountingMaker()


async def forget(database: Database) -> None:
    await database.transaction(lambda connection: erase(connection, ["evt_1"], state="deleted", now=NOON))


def upkeep_of(database: Database, objects: MemoryStore) -> JobContext:
    return JobContext(database=database, objects=objects, now=lambda: NOON)


async def leases_end(database: Database) -> None:
    await run(
        database,
        "UPDATE images SET variants = jsonb_set(variants, ARRAY[CAST(:name AS text), 'until'], to_jsonb(now() - interval '1 s'))",
        name=THUMB_NAME,
    )


async def test_a_hundred_askers_in_two_processes_get_one_render(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    one = await found(migrated)
    rooms = [a_rendition_context(migrated, objects, maker) for _ in range(2)]
    outcomes = await asyncio.gather(*(picture_of(one, THUMB, context=rooms[n % 2]) for n in range(100)))
    assert len(maker.recipes) == 1
    assert {outcome.picture.key for outcome in outcomes if outcome.picture is not None} == {key_of()}
    stored = await objects.stat(key_of())
    assert stored is not None
    assert (stored.content_type, stored.cache_control) == ("image/webp", "private, max-age=86400, immutable")
    assert (await found(migrated)).pictures[THUMB_NAME] == outcomes[0].picture
    await picture_of(await found(migrated), THUMB, context=rooms[0])
    assert len(maker.recipes) == 1, "it is there"


async def test_an_asker_who_leaves_takes_the_picture_from_nobody(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    one, context = await found(migrated), a_rendition_context(migrated, objects, maker)
    maker.gate.clear()
    first = asyncio.create_task(picture_of(one, THUMB, context=context))
    second = asyncio.create_task(picture_of(one, THUMB, context=context))
    await maker.asked.wait()
    first.cancel()
    await asyncio.wait({first})
    maker.gate.set()
    assert (await second).picture is not None
    assert (first.cancelled(), len(maker.recipes)) == (True, 1)


async def test_what_a_dead_process_had_in_hand_is_made_when_its_lease_ends(
    migrated: Database, objects: MemoryStore, maker: CountingMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await an_original(migrated, objects)
    one = await found(migrated)
    dead = a_rendition_context(migrated, objects, maker)
    assert await dead.ledger.claim(one.image, THUMB_NAME, lease=timedelta(minutes=1), now=NOON)
    context = a_rendition_context(migrated, objects, maker)
    monkeypatch.setattr(develop, "OTHERS_MAKE_IT_WITHIN_SECONDS", 0.3)
    with pytest.raises(Busy):
        await picture_of(one, THUMB, context=context)
    assert maker.recipes == []
    await leases_end(migrated)
    assert (await picture_of(one, THUMB, context=context)).picture is not None


@pytest.mark.parametrize("end", ["gives up", "closes"])
async def test_who_cannot_go_on_gives_the_picture_to_others(
    migrated: Database, objects: MemoryStore, maker: CountingMaker, end: str
) -> None:
    class DeadStore(MemoryStore):
        async def create(self, key: str, new: NewObject) -> bool:
            raise StoreUnavailable(f"could not put {key}")

    await an_original(migrated, objects)
    dead = DeadStore()
    dead._objects = objects._objects
    context = a_rendition_context(migrated, dead if end == "gives up" else objects, maker)
    if end == "gives up":
        with pytest.raises(StoreUnavailable):
            await picture_of(await found(migrated), THUMB, context=context)
    else:
        maker.gate.clear()
        asker = asyncio.create_task(picture_of(await found(migrated), THUMB, context=context))
        await maker.asked.wait()
        await context.close()
        await asyncio.wait({asker})
        assert (asker.cancelled(), maker.closed) == (True, True)
        maker.gate.set()
    assert (await found(migrated)).pictures == {}
    assert (
        await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    ).picture is not None


async def test_what_cannot_be_decoded_is_tried_once_a_day(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    clock = Clock()
    context = a_rendition_context(migrated, objects, maker, now=clock)
    maker.refuses = "it is cut off"
    for _ in range(3):
        with pytest.raises(ImageRefused, match="cut off"):
            await picture_of(await found(migrated), THUMB, context=context)
    assert len(maker.recipes) == 1
    maker.refuses = None
    clock.now += REFUSED_FOR
    assert (await picture_of(await found(migrated), THUMB, context=context)).picture is not None


async def test_what_the_buckets_rule_takes_is_made_again_before_it_goes(
    migrated: Database, maker: CountingMaker
) -> None:
    clock = Clock()
    objects = MemoryStore(now=clock)
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker, now=clock)
    await picture_of(await found(migrated), THUMB, context=context)
    clock.now += STANDS_FOR - timedelta(seconds=1)
    await picture_of(await found(migrated), THUMB, context=context)
    assert len(maker.recipes) == 1
    clock.now += timedelta(seconds=1)
    await picture_of(await found(migrated), THUMB, context=context)
    assert len(maker.recipes) == 2
    stored = await objects.stat(key_of())
    assert stored is not None
    assert stored.modified_at == clock.now, "its age begins anew"


async def test_a_picture_of_an_image_that_is_forgotten_meanwhile_is_not_left_behind(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    maker.gate.clear()
    asker = asyncio.create_task(
        picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    )
    await maker.asked.wait()
    await forget(migrated)
    await remove_bytes(upkeep_of(migrated, objects))
    maker.gate.set()
    assert (await asker).state is ImageState.DELETED
    assert await keys(objects, "") == []
    await leases_end(migrated)
    assert (await remove_bytes(upkeep_of(migrated, objects))).images == 1


async def test_what_a_killed_process_put_after_the_eraser_went_by_goes_when_its_lease_has_ended(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    one = await found(migrated)
    context = a_rendition_context(migrated, objects, maker)
    assert await context.ledger.claim(one.image, THUMB_NAME, lease=timedelta(minutes=1), now=NOON)
    await forget(migrated)
    context = upkeep_of(migrated, objects)
    assert (await remove_bytes(context)).images == 0, "somebody has a picture in hand"
    await objects.create(key_of(), NewObject(data=b"late", content_type="image/webp", metadata={}))
    await leases_end(migrated)
    assert (await remove_bytes(context)).images == 1
    assert await keys(objects, "") == []
    (row,) = await run(migrated, "SELECT variants, now() - bytes_gone_at AS age FROM images")
    assert row["variants"] is None
    assert timedelta() <= row["age"] < timedelta(minutes=5), "by the database's clock"


async def test_erasing_reaches_pictures_of_which_no_row_tells(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    for detection_id in ("evt_1", "evt_11"):
        await an_original(migrated, objects, detection_id)
        await picture_of(
            await found(migrated, detection_id), THUMB, context=a_rendition_context(migrated, objects, maker)
        )
    left = key_of().replace("thumb", "older")
    await objects.create(left, NewObject(data=b"older", content_type="image/webp", metadata={}))
    await forget(migrated)
    assert (await remove_bytes(upkeep_of(migrated, objects))).images == 1
    assert await keys(objects) == [key_of(detection_id="evt_11")]


async def test_pictures_of_a_held_image_lie_where_those_of_any_other_do(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    (row,) = await run(migrated, "UPDATE images SET key = 'holds/' || key RETURNING key")
    await objects.create(row["key"], NewObject(data=ORIGINAL, content_type="image/jpeg", metadata={}))
    outcome = await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    assert outcome.picture is not None
    assert outcome.picture.key == key_of()


async def test_nothing_is_made_of_bytes_that_are_not_what_they_were(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    await run(migrated, "ALTER TABLE images DISABLE TRIGGER USER")
    await run(migrated, "UPDATE images SET sha256 = decode(repeat('00', 32), 'hex')")
    with pytest.raises(Corrupted):
        await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    assert (maker.recipes, await keys(objects)) == ([], [])


async def test_of_a_stored_image_without_an_object_there_is_no_picture(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects)
    await objects.delete((await found(migrated)).image.key or "")
    outcome = await picture_of(await found(migrated), THUMB, context=a_rendition_context(migrated, objects, maker))
    assert (outcome.state, outcome.picture) == (ImageState.MISSING, None)
    assert (await found(migrated)).pictures == {}


async def test_an_older_form_of_a_variant_goes_when_its_urls_have_expired(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    clock = Clock()
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker, now=clock)
    await picture_of(await found(migrated), THUMB, context=context)
    wider = Variants.parse('{"thumb": {"width": 640, "format": "webp"}}').wanted("thumb")
    even_wider = Variants.parse('{"thumb": {"width": 800, "format": "webp"}}').wanted("thumb")
    await picture_of(await found(migrated), wider, context=context)
    assert len(await keys(objects)) == 2
    clock.now += timedelta(hours=2)
    await picture_of(await found(migrated), even_wider, context=context)
    assert await keys(objects) == [key_of(even_wider)]
    assert set((await found(migrated)).pictures) == {even_wider.name(of_plate=False)}


async def test_an_image_has_a_limited_number_of_unnamed_pictures_and_keeps_the_named(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    clock = Clock()
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker, now=clock)
    await picture_of(await found(migrated), THUMB, context=context)
    for width in range(1, UNNAMED_MOST + 3):
        clock.now += timedelta(seconds=1)
        await picture_of(await found(migrated), Wanted(recipe=Recipe(width=width)), context=context)
    there = (await found(migrated)).pictures
    assert len(there) == len(await keys(objects)) == UNNAMED_MOST + 1
    assert THUMB_NAME in there
    assert Wanted(recipe=Recipe(width=1)).name(of_plate=False) not in there, "the oldest went"


async def test_a_crop_that_nobody_sent_is_cut_out_of_the_scene_with_a_margin(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    await an_original(migrated, objects, box=BOX)
    one = await found(migrated, kind="crop")
    assert (one.image.kind, one.of_plate) == ("full", True)
    context = a_rendition_context(migrated, objects, maker)
    outcome = await picture_of(one, THUMB, context=context)
    assert outcome.picture is not None
    assert outcome.picture.key == key_of(of_plate=True)
    assert maker.recipes[0].crop == Crop(x=95, y=195, width=90, height=30, stored=True)
    with pytest.raises(InvalidRequest, match="crop"):
        await picture_of(one, Wanted(recipe=Recipe(crop=Crop(x=0, y=0, width=5, height=5))), context=context)


async def test_a_crop_that_was_sent_is_what_pictures_of_it_are_made_from(
    migrated: Database, objects: MemoryStore
) -> None:
    await an_original(migrated, objects, kinds=("full", "crop"), box=BOX)
    one = await found(migrated, kind="crop")
    assert (one.image.kind, one.of_plate) == ("crop", False)


async def test_a_pending_image_is_rendered_from_its_spool_and_nothing_is_kept(
    migrated: Database, objects: MemoryStore, maker: CountingMaker, tmp_path: Path
) -> None:
    class Spool:
        async def read(self, file: str, *, offset: int, size: int) -> bytes | None:
            return ORIGINAL

    await an_original(migrated, objects)
    node = "00000000-0000-4000-8000-000000000001"
    await run(migrated, "INSERT INTO nodes (node_id, host) VALUES (CAST(:node AS uuid), 'here')", node=node)
    await run(
        migrated,
        "UPDATE images SET state = 'pending', stored_at = NULL, spool_node = CAST(:node AS uuid), spool_file = 'f', spool_offset = 0",
        node=node,
    )
    context = a_rendition_context(migrated, MemoryStore(), maker, spool=Spool(), node_id=node)
    one = await found(migrated)
    outcomes = await asyncio.gather(*(picture_of(one, THUMB, context=context) for _ in range(5)))
    assert {outcome.state for outcome in outcomes} == {ImageState.PENDING}
    assert outcomes[0].data is not None
    assert (len(maker.recipes), await keys(context.objects), (await found(migrated)).pictures) == (1, [], {})  # type: ignore[arg-type]


def test_without_a_setting_there_are_no_variants() -> None:
    with pytest.raises(InvalidRequest, match="none is set"):
        Variants().wanted("thumb")


async def test_pictures_that_are_made_anew_after_a_month_leave_each_other_alone(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    now = [NOON]
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker, now=lambda: now[0])
    each = [Wanted(recipe=Recipe(width=width)) for width in (100, 200, 300)]
    for days in (0, 30, 60):
        now[0] = NOON + timedelta(days=days)
        one = await found(migrated)
        await asyncio.gather(*(picture_of(one, wanted, context=context) for wanted in each))
        pictures = (await found(migrated)).pictures
        assert sorted(str(picture.key) for picture in pictures.values()) == sorted(
            key for key in await keys(objects) if key.startswith("derived/")
        )
        assert len(pictures) == 3


async def test_nothing_is_shown_of_an_image_that_was_forgotten_while_its_picture_is_in_hand(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    maker.gate.clear()
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker)
    first = asyncio.create_task(picture_of(await found(migrated), THUMB, context=context))
    await maker.asked.wait()
    await migrated.transaction(lambda connection: erase(connection, ["evt_1"], state="deleted", now=NOON))
    late = await picture_of(await found(migrated), THUMB, context=context)
    maker.gate.set()
    assert (late.state, late.data) == (ImageState.DELETED, None)
    assert ((await first).state, (await first).data) == (ImageState.DELETED, None)


async def test_questions_that_cannot_be_answered_do_not_fill_the_row(migrated: Database, objects: MemoryStore) -> None:
    class Undecodable(CountingMaker):
        async def render(self, original: bytes, recipe: Recipe) -> Rendered:
            raise ImageRefused("no picture")

    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, Undecodable())
    for width in range(40):
        with pytest.raises(ImageRefused):
            await picture_of(await found(migrated), Wanted(recipe=Recipe(width=100 + width)), context=context)
    assert len((await found(migrated)).pictures) == REFUSED_MOST


async def test_pictures_and_refusals_of_an_image_are_at_most_fifty_unnamed_ones(
    migrated: Database, objects: MemoryStore, maker: CountingMaker
) -> None:
    clock = Clock()
    await an_original(migrated, objects)
    context = a_rendition_context(migrated, objects, maker, now=clock)
    for width in range(1, 61):
        clock.now += timedelta(seconds=1)
        maker.refuses = "no picture" if width % 2 else None
        with contextlib.suppress(ImageRefused):
            await picture_of(await found(migrated), Wanted(recipe=Recipe(width=width)), context=context)
    pictures = (await found(migrated)).pictures
    assert len(pictures) <= 50
    assert sum(one.refused is None for one in pictures.values()) == len(await keys(objects)) == 30
