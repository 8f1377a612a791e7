"""Make derived pictures: each one once, whoever asks for it at the same time, in this process or in another one.

In this process askers of one urgency share one task, which goes on when they leave. Across processes the image's row says who makes it, with
a lease. The order is: a place, claim, read, render, put, record. A crash after the claim leaves a lease that ends; one after the
put an object that the next render replaces. Whoever finds at the end that the image was forgotten meanwhile takes the object away
again; `erase` looks once more when the lease has ended, should nobody be left to. So a put that failed keeps its lease in sight of
`erase` until the time at which it must have ended, whatever the store said of it.

An object that no row names can still be left where a process dies between two steps, or loses its lease. It lies under the prefix
of its image like any other: `erase` deletes by that prefix, and the bucket's rule takes it within 30 days. Nobody is shown it.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    Unavailable,
    VaultError,
)
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import Recipe, Rendered
from platevault.domain.search_results import ImageRow
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.renditions.context import Outcome, RenditionContext, TaskKey
from platevault.renditions.sql.renditions import Derivable, find_again
from platevault.renditions.variants import Picture, Wanted, derived_key, plate_with_margin

log = structlog.get_logger(__name__)

LEASE: Final = timedelta(seconds=120)
# Past this nobody begins to put, or waits for its end: what is put must have ended when the lease does.
PUT_BEGINS_WITHIN_SECONDS: Final = 80.0
PUT_ENDS_WITHIN_SECONDS: Final = 110.0
OTHERS_MAKE_IT_WITHIN_SECONDS: Final = 30.0
LOOK_AGAIN_SECONDS: Final = 0.1
_SHOWN: Final = frozenset({ImageState.STORED, ImageState.PENDING})
CACHE_CONTROL: Final = "private, max-age=86400, immutable"


async def picture_of(one: Derivable, wanted: Wanted, *, context: RenditionContext, behind: bool = False) -> Outcome:
    """The picture, made if it is not there. It is kept where the image is stored; one that is made from a spool is not.

    With `behind` it gives way to pictures that somebody waits for. Raises `ImageRefused` or `InvalidRequest` where it cannot be
    made, `Missing` where there is no such image any more, `HeldElsewhere`, `Corrupted`, `Busy`, and what store and database raise.
    """
    if one.image.state not in _SHOWN:
        return Outcome(state=one.image.state)
    name = wanted.name(of_plate=one.of_plate)
    if one.image.state is ImageState.STORED and (standing := _standing(one, name, context=context)) is not None:
        return standing
    key = (one.image.detection_id, one.image.kind, name, behind)
    task = context.tasks.get(key)
    if task is None:
        task = asyncio.create_task(_made(one, wanted, context=context, behind=behind))
        context.tasks[key] = task
        task.add_done_callback(lambda done: _forget_task(done, key, context))
    return await asyncio.shield(task)  # it goes on for the others, and for who comes next


async def original_of(one: Derivable, *, context: RenditionContext) -> bytes | None:
    """The image's bytes, from store or spool, with the digest they arrived with; None when they are not where the row says.

    Raises `HeldElsewhere` or `Corrupted`.
    """
    image = one.image
    if image.state is ImageState.PENDING:
        if context.spool is None or image.spool_node != str(context.node_id):
            raise HeldElsewhere("the image waits on another node until the object store has it", retry_after=5)
        data = await context.spool.read(image.spool_file or "", offset=image.spool_offset or 0, size=image.size or 0)
    else:
        data = await context.objects.get(image.key or "")
    if data is not None and await _digest(data) != image.sha256:
        raise Corrupted(f"the bytes of {image.detection_id} {image.kind} are not what they were")
    return data


async def _made(one: Derivable, wanted: Wanted, *, context: RenditionContext, behind: bool) -> Outcome:
    name, capacity = wanted.name(of_plate=one.of_plate), context.capacity
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + OTHERS_MAKE_IT_WITHIN_SECONDS
    with capacity.place():
        while loop.time() < ends_at:
            if one.image.state not in _SHOWN:
                return Outcome(state=one.image.state)
            async with capacity.hands.turn(one.image.size or 0, behind=behind):
                making = _Making(one=one, wanted=wanted, context=context, behind=behind, began=loop.time())
                outcome = await _tried(making)
            if outcome is not None:
                return outcome
            one = await find_again(context.database, one)
            if one.image.state is ImageState.STORED and (standing := _standing(one, name, context=context)) is not None:
                return standing
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
    raise Busy("somebody else makes this picture, and takes long", retry_after=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Making:
    """One try to make a picture, by whoever has a hand free for it. `began` is before its lease does, on the loop's clock."""

    one: Derivable
    wanted: Wanted
    context: RenditionContext
    behind: bool
    began: float

    @property
    def name(self) -> str:
        return self.wanted.name(of_plate=self.one.of_plate)


async def _tried(making: _Making) -> Outcome | None:
    """None when somebody else makes it, or has made it."""
    one, context = making.one, making.context
    if one.image.state is ImageState.PENDING:
        return await _from_spool(making)
    if not await context.ledger.claim(one.image, making.name, lease=LEASE, now=context.now()):
        return None
    return await _make(making)


async def _from_spool(making: _Making) -> Outcome | None:
    """None when the drain came in between."""
    one, context = making.one, making.context
    data = await original_of(one, context=context)
    if data is None:
        return None
    rendered = await _render(data, making)
    now_is = (await find_again(context.database, one)).image.state
    if now_is not in _SHOWN:  # forgotten while it was made
        return Outcome(state=now_is)
    return Outcome(
        state=one.image.state, picture=await _described(rendered, key=None, now=context.now()), data=rendered.data
    )


async def _make(making: _Making) -> Outcome:
    """What the claim comes to, whatever happens."""
    one, name, context = making.one, making.name, making.context
    try:
        original = await original_of(one, context=context)
        if original is None:
            log.error("stored image has no object", detection=one.image.detection_id, kind=one.image.kind)
            await context.ledger.release(one.image, name)
            return Outcome(state=ImageState.MISSING)
        rendered = await _render(original, making)
        del original
        _refuse_if_late(making)
    except ImageRefused as error:
        refused = Picture(refused=str(error), made_at=context.now())
        outworn = await context.ledger.record(one.image, name, refused, lease=LEASE)
        await _take_away(outworn or {}, one.image, context=context)
        raise
    except BaseException:  # others need not wait for the lease to end
        await asyncio.shield(context.ledger.release(one.image, name))
        raise
    return await _keep(making, rendered)


async def _render(original: bytes, making: _Making) -> Rendered:
    context = making.context
    loop = asyncio.get_running_loop()
    try:
        async with context.capacity.turns.turn(behind=making.behind):
            began = loop.time()
            rendered = await context.decoder.render(original, _recipe_for(making.one, making.wanted))
    except VaultError as error:
        context.meters.picture_failed(error)
        raise
    context.meters.picture_made(seconds=loop.time() - began)
    return rendered


def _refuse_if_late(making: _Making) -> None:
    if asyncio.get_running_loop().time() > making.began + PUT_BEGINS_WITHIN_SECONDS:
        raise Busy("the picture took too long", retry_after=30)


async def _keep(making: _Making, rendered: Rendered) -> Outcome:
    """Put it and say so. From here on there may be an object, also after a put that failed: `erase` is to know of it."""
    wanted, image, context = making.wanted, making.one.image, making.context
    assert image.key is not None, "it is stored"
    key = derived_key(image.key, making.name, extension=wanted.recipe.format.extension)
    metadata = {"detection-id": image.detection_id, "derived-from": image.sha256 or "", "recipe": str(wanted.recipe)}
    new = NewObject(
        data=rendered.data, content_type=rendered.content_type, metadata=metadata, cache_control=CACHE_CONTROL
    )
    try:
        picture = await _described(rendered, key=key, now=context.now())
        await _put(key, new, objects=context.objects, ends_at=making.began + PUT_ENDS_WITHIN_SECONDS)
        outworn = await context.ledger.record(image, making.name, picture, lease=LEASE)
        if outworn is None and await context.ledger.is_forgotten(image):
            await context.objects.delete(key)
            return Outcome(state=(await find_again(context.database, making.one)).image.state)
    except BaseException:
        await asyncio.shield(context.ledger.release(image, making.name, late_put=True))
        raise
    if outworn is None:
        raise Busy("the picture took longer than its lease", retry_after=5)
    await _take_away(outworn, image, context=context)
    return Outcome(state=image.state, picture=picture, data=rendered.data)


async def _take_away(outworn: Mapping[str, Picture], image: ImageRow, *, context: RenditionContext) -> None:
    """Pictures that the ledger has taken in hand for it; one that the store does not let go is left to the bucket's rule."""
    if not outworn:
        return
    try:
        for picture in outworn.values():
            if picture.key is not None:
                await context.objects.delete(picture.key)
        await context.ledger.give_up(image, outworn)
    except Unavailable as error:  # the picture that was asked for is there all the same
        log.warning("outworn pictures stay for now", detection=image.detection_id, kind=image.kind, why=str(error))


async def _put(key: str, new: NewObject, *, objects: ObjectStore, ends_at: float) -> None:
    """Over whatever a render before left there: its age is what the bucket's rule goes by."""
    try:
        async with asyncio.timeout_at(ends_at):
            for _ in range(3):
                if await objects.create(key, new):
                    return
                standing = await objects.stat(key)
                if standing is not None and await objects.replace(key, new, etag=standing.etag):
                    return
    except TimeoutError as error:
        raise StoreUnavailable(f"could not put {key} in time") from error
    raise StoreUnavailable(f"{key} changes all the time")


def _standing(one: Derivable, name: str, *, context: RenditionContext) -> Outcome | None:
    """What its row tells of the picture; raises `ImageRefused` where it was found that it cannot be made."""
    picture = one.pictures.get(name)
    if picture is not None and picture.is_refused(context.now()):
        raise ImageRefused(picture.refused or "")
    if picture is None or not picture.stands(context.now()):
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


def _forget_task(task: "asyncio.Task[Outcome]", key: TaskKey, context: RenditionContext) -> None:
    context.tasks.pop(key, None)
    if not task.cancelled():
        task.exception()  # seen, should everybody have left
