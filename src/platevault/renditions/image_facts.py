"""Tell what is known of one image beyond its row: what its header says, read from its bytes."""

from dataclasses import dataclass

from platevault.access.actor import Look
from platevault.domain.errors import Missing
from platevault.domain.images import ImageState
from platevault.domain.rendition_recipe import Facts
from platevault.renditions.context import RenditionContext
from platevault.renditions.render import original_of
from platevault.renditions.serve import look_at_image
from platevault.renditions.sql.renditions import Derivable, find_again


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """`facts` is None where the image cannot be shown, which `state` explains. `location` is None unless a setting allows it."""

    one: Derivable
    state: ImageState
    facts: Facts | None = None
    location: tuple[float, float] | None = None


async def image_facts(name: tuple[str, str], *, look: Look, context: RenditionContext) -> ImageFacts:
    """Raises `Missing`, `HeldElsewhere`, `ImageRefused`, `Busy`, `Corrupted`, and what store and database raise."""
    one = await look_at_image(name, look=look, context=context)
    for _ in range(2):
        if one.image.state not in {ImageState.STORED, ImageState.PENDING}:
            return ImageFacts(one=one, state=one.image.state)
        async with context.capacity.wait(look.actor.subject):
            facts = await _facts(one, context=context)
        if facts is not None:
            location = facts.location if context.shows_location else None
            return ImageFacts(one=one, state=one.image.state, facts=facts, location=location)
        one = await find_again(context.database, one)  # it was drained or swept between the row and its bytes
    if one.image.state is ImageState.STORED:
        return ImageFacts(one=one, state=ImageState.MISSING)
    raise Missing("the bytes of this image are nowhere to be found")


async def _facts(one: Derivable, *, context: RenditionContext) -> Facts | None:
    """None when its bytes are not where the row says."""
    capacity = context.capacity
    with capacity.place():
        async with capacity.hands.turn(one.image.size or 0):
            data = await original_of(one, context=context)
            if data is None:
                return None
            async with capacity.turns.turn():
                return await context.decoder.facts(data)
