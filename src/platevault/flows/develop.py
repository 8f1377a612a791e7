"""Make derived pictures: each one once, whoever asks for it at the same time, in this process or in another one.

In this process askers share one task, which goes on when they leave. Across processes the image's row says who makes it, with
a lease. The order is: claim, read, render, put, record. A crash after the claim leaves a lease that ends; one after the put an
object that the next render replaces, and that the bucket's rule takes within 30 days. Whoever finds at the end that the image
was forgotten meanwhile takes the object away again; `erase` looks once more when the lease has ended, should nobody be left to.
"""

import asyncio
import hashlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.errors import (
    Busy,
    Corrupted,
    HeldElsewhere,
    ImageRefused,
    InvalidRequest,
    StoreUnavailable,
    VaultError,
)
from platevault.domain.images import ImageState
from platevault.domain.recipe import Recipe, Rendered
from platevault.domain.variants import Picture, Wanted, derived_key, outworn, plate_with_margin
from platevault.flows.darkroom import Bench, Darkroom, Outcome
from platevault.stores.derivatives import Derivable, find_again
from platevault.stores.objects import NewObject, ObjectStore

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(seconds=120)
# Past this nobody begins to put: what is put must have ended when the lease does.
PUT_BEGINS_WITHIN_SECONDS: Final = 80.0
OTHERS_MAKE_IT_WITHIN_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.1
_SHOWN: Final = frozenset({ImageState.STORED, ImageState.PENDING})
CACHE_CONTROL: Final = "private, max-age=86400, immutable"


async def picture_of(one: Derivable, wanted: Wanted, *, room: Darkroom) -> Outcome:
    """The picture, made if it is not there. It is kept where the image is stored; one that is made from a spool is not.

    Raises `ImageRefused` or `InvalidRequest` where it cannot be made, `HeldElsewhere`, `Corrupted`, `Busy`, and what store and
    database raise.
    """
    if one.image.state not in _SHOWN:
        return Outcome(state=one.image.state)
    name = wanted.name(of_plate=one.of_plate)
    if one.image.state is ImageState.STORED and (standing := _standing(one, name, room=room)) is not None:
        return standing
    key = (one.image.detection_id, one.image.kind, name)
    task = room.bench.in_hand.get(key)
    if task is None:
        task = asyncio.create_task(_made(one, wanted, room=room))
        room.bench.in_hand[key] = task
        task.add_done_callback(lambda done: _out_of_hand(done, key, room.bench))
    return await asyncio.shield(task)  # it goes on for the others, and for who comes next


async def original_of(one: Derivable, *, room: Darkroom) -> bytes | None:
    """The image's bytes, from store or spool, with the digest they arrived with; None when they are not where the row says.

    Raises `HeldElsewhere` or `Corrupted`.
    """
    image = one.image
    if image.state is ImageState.PENDING:
        if room.spool is None or image.spool_node != str(room.node_id):
            raise HeldElsewhere("the image waits on another node until the object store has it", retry_after=5)
        data = await room.spool.read(image.spool_file or "", offset=image.spool_offset or 0, size=image.size or 0)
    else:
        data = await room.objects.get(image.key or "")
    if data is not None and await _digest(data) != image.sha256:
        raise Corrupted(f"the bytes of {image.detection_id} {image.kind} are not what they were")
    return data


async def _made(one: Derivable, wanted: Wanted, *, room: Darkroom) -> Outcome:
    name = wanted.name(of_plate=one.of_plate)
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + OTHERS_MAKE_IT_WITHIN_SECONDS
    while loop.time() < ends_at:
        if one.image.state is ImageState.PENDING:
            if (outcome := await _from_spool(one, wanted, room=room)) is not None:
                return outcome
        elif one.image.state is not ImageState.STORED:
            return Outcome(state=one.image.state)
        elif await room.ledger.claim(one.image, name, lease=LEASE, now=room.now()):
            return await _make(one, wanted, room=room)
        one = await find_again(room.database, one)
        if one.image.state is ImageState.STORED and (standing := _standing(one, name, room=room)) is not None:
            return standing
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
    raise Busy("somebody else makes this picture, and takes long", retry_after=5)


async def _from_spool(one: Derivable, wanted: Wanted, *, room: Darkroom) -> Outcome | None:
    """None when the drain came in between."""
    data = await original_of(one, room=room)
    if data is None:
        return None
    rendered = await _render(data, one, wanted, room=room)
    now_is = (await find_again(room.database, one)).image.state
    if now_is not in _SHOWN:  # forgotten while it was made
        return Outcome(state=now_is)
    return Outcome(
        state=one.image.state, picture=await _described(rendered, key=None, now=room.now()), data=rendered.data
    )


async def _make(one: Derivable, wanted: Wanted, *, room: Darkroom) -> Outcome:
    """What the claim comes to, whatever happens."""
    name = wanted.name(of_plate=one.of_plate)
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        original = await original_of(one, room=room)
        if original is None:
            log.error("stored image has no object", detection=one.image.detection_id, kind=one.image.kind)
            await room.ledger.release(one.image, name)
            return Outcome(state=ImageState.MISSING)
        rendered = await _render(original, one, wanted, room=room)
        return await _keep(one, wanted, rendered, room=room, ends_at=began + PUT_BEGINS_WITHIN_SECONDS)
    except ImageRefused as error:
        refused = Picture(refused=str(error), made_at=room.now())
        gone = [other for other, what in outworn(one.pictures, made=name, now=room.now()).items() if what.refused]
        await room.ledger.record(one.image, name, refused, without=gone)
        raise
    except BaseException:  # others need not wait for the lease to end
        await asyncio.shield(room.ledger.release(one.image, name))
        raise


async def _render(original: bytes, one: Derivable, wanted: Wanted, *, room: Darkroom) -> Rendered:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        rendered = await room.bench.maker.render(original, _recipe_for(one, wanted))
    except VaultError as error:
        room.meters.picture_failed(error)
        raise
    room.meters.picture_made(seconds=loop.time() - began)
    return rendered


async def _keep(one: Derivable, wanted: Wanted, rendered: Rendered, *, room: Darkroom, ends_at: float) -> Outcome:
    name, image = wanted.name(of_plate=one.of_plate), one.image
    assert image.key is not None, "it is stored"
    key = derived_key(image.key, name, extension=wanted.recipe.format.extension)
    picture = await _described(rendered, key=key, now=room.now())
    metadata = {"detection-id": image.detection_id, "derived-from": image.sha256 or "", "recipe": str(wanted.recipe)}
    new = NewObject(
        data=rendered.data, content_type=rendered.content_type, metadata=metadata, cache_control=CACHE_CONTROL
    )
    if asyncio.get_running_loop().time() > ends_at:
        raise Busy("the picture took too long", retry_after=30)
    await _put(key, new, objects=room.objects)
    gone = outworn(one.pictures, made=name, now=room.now())
    if not await room.ledger.record(image, name, picture, without=gone):
        if await room.ledger.is_forgotten(image):
            await room.objects.delete(key)
            return Outcome(state=(await find_again(room.database, one)).image.state)
        raise Busy("the picture took longer than its lease", retry_after=5)
    for other in gone.values():
        if other.key is not None:
            await room.objects.delete(other.key)
    return Outcome(state=image.state, picture=picture, data=rendered.data)


async def _put(key: str, new: NewObject, *, objects: ObjectStore) -> None:
    """Over whatever a render before left there: its age is what the bucket's rule goes by."""
    for _ in range(3):
        if await objects.create(key, new):
            return
        standing = await objects.stat(key)
        if standing is not None and await objects.replace(key, new, etag=standing.etag):
            return
    raise StoreUnavailable(f"{key} changes all the time")


def _standing(one: Derivable, name: str, *, room: Darkroom) -> Outcome | None:
    """What its row tells of the picture; raises `ImageRefused` where it was found that it cannot be made."""
    picture = one.pictures.get(name)
    if picture is not None and picture.is_refused(room.now()):
        raise ImageRefused(picture.refused or "")
    if picture is None or not picture.stands(room.now()):
        return None
    return Outcome(state=one.image.state, picture=picture)


def _recipe_for(one: Derivable, wanted: Wanted) -> Recipe:
    if one.box is None:
        return wanted.recipe
    if wanted.recipe.crop is not None:
        raise InvalidRequest("crop: the collector sent no crop of this plate; cut it out of `full`")
    return replace(wanted.recipe, crop=plate_with_margin(one.box))


async def _described(rendered: Rendered, *, key: str | None, now: datetime) -> Picture:
    return Picture(
        key=key,
        content_type=rendered.content_type,
        width=rendered.width,
        height=rendered.height,
        size=len(rendered.data),
        sha256=await _digest(rendered.data),
        made_at=now,
    )


async def _digest(data: bytes) -> str:
    return await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())


def _out_of_hand(task: "asyncio.Task[Outcome]", key: tuple[str, str, str], bench: Bench) -> None:
    bench.in_hand.pop(key, None)
    if not task.cancelled():
        task.exception()  # seen, should everybody have left
