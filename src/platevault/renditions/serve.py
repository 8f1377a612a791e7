"""Show a derived picture: where its object is, or its bytes, or what became of the image; and sign a URL for it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import structlog

from platevault.access.actor import Look, Scope
from platevault.access.sql import access_log
from platevault.domain.errors import Busy, Missing
from platevault.domain.images import ImageState
from platevault.infra.concurrency.delivery_budget import CHUNK_BYTES, Content, content_of
from platevault.renditions.context import Outcome, RenditionContext
from platevault.renditions.render import picture_of
from platevault.renditions.sql import renditions as derivatives
from platevault.renditions.sql.renditions import Derivable
from platevault.renditions.variants import Picture, Wanted

log = structlog.get_logger(__name__)

_VISIBLE: Final = frozenset({ImageState.STORED, ImageState.PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownPicture:
    """`picture` is None where the image cannot be shown, which `state` explains; `data` is there where this process made it just now,
    `content` once it was asked for.
    """

    one: Derivable
    wanted: Wanted
    state: ImageState
    picture: Picture | None = None
    data: bytes | None = None
    content: Content | None = None


async def serve_rendition(
    name: tuple[str, str], wanted: Wanted, *, look: Look, context: RenditionContext, check: bool = False
) -> ShownPicture:
    """The picture, made if need be. With `check` the store is asked whether it is still there.

    Raises `Missing`, `HeldElsewhere`, and what `picture_of` does.
    """
    one = await _looked_at(name, look=look, context=context, filters={"derived": wanted.variant or str(wanted.recipe)})
    async with context.capacity.wait(look.actor.subject):
        outcome = await picture_of(one, wanted, context=context)
    key = None if outcome.picture is None else outcome.picture.key
    if check and key is not None and outcome.data is None and await context.objects.stat(key) is None:
        outcome = await _again(one, wanted, outcome, context=context)
    return _shown(one, wanted, outcome)


async def with_content_of(shown: ShownPicture, *, context: RenditionContext) -> ShownPicture:
    """Return the picture with its content; it is made again if the object store does not have it any more.

    A picture that the store has is read from there, chunk by chunk. One that was made from a spool is in memory only.
    """
    for _ in range(2):
        picture = shown.picture
        is_small = shown.data is not None and len(shown.data) <= CHUNK_BYTES
        if picture is None or picture.key is None or is_small:
            return replace(shown, content=None if shown.data is None else Content.whole(shown.data))
        if (content := await _stored(picture.key, context=context)) is not None:
            return replace(shown, content=content, data=None)
        outcome = Outcome(state=shown.state, picture=picture)
        outcome = await _again(shown.one, shown.wanted, outcome, context=context)
        shown = _shown(shown.one, shown.wanted, outcome)
    raise Busy("the picture goes as fast as it is made", retry_after=5)


async def _stored(key: str, *, context: RenditionContext) -> Content | None:
    stored = await context.objects.stat(key)
    if stored is None:
        return None
    return await content_of(
        lambda offset, size: context.objects.read(key, offset=offset, size=size, etag=stored.etag),
        first=0,
        size=stored.size,
    )


async def look_at_image(name: tuple[str, str], *, look: Look, context: RenditionContext) -> Derivable:
    """The image that is kept under this very kind; raises `Missing`."""
    one = await _looked_at(name, look=look, context=context, filters={"metadata": True})
    if one.of_plate:
        raise Missing("there is no image of that name")
    return one


async def _looked_at(
    name: tuple[str, str], *, look: Look, context: RenditionContext, filters: Mapping[str, Any]
) -> Derivable:
    look.actor.must(Scope.IMAGES_READ)
    one = await access_log.looking(
        context.database,
        partial(derivatives.find, name),
        look=look,
        filters={"kind": name[1], **filters},
        shows=lambda found: None if found is None or found.image.state not in _VISIBLE else [name[0]],
    )
    if one is None:
        raise Missing("there is no image of that name")
    return one


async def _again(one: Derivable, wanted: Wanted, outcome: Outcome, *, context: RenditionContext) -> Outcome:
    """The row is wrong about its object: it says so no more, and the picture is made."""
    assert outcome.picture is not None, "the row tells of one"
    log.warning("derived picture is not in the object store", detection=one.image.detection_id, kind=one.image.kind)
    await context.ledger.forget(one.image, wanted.name(of_plate=one.of_plate), outcome.picture)
    return await picture_of(await derivatives.find_again(context.database, one), wanted, context=context)


def _shown(one: Derivable, wanted: Wanted, outcome: Outcome) -> ShownPicture:
    return ShownPicture(one=one, wanted=wanted, state=outcome.state, picture=outcome.picture, data=outcome.data)
