"""Make the named variants that images lack, a few at a time."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from platevault.domain.errors import Busy, ImageRefused, InvalidRequest, Unavailable, VaultError
from platevault.domain.upkeep import Notes
from platevault.domain.variants import Variant
from platevault.flows.darkroom import Darkroom
from platevault.flows.develop import picture_of
from platevault.stores.derivatives import Derivable

BUSY_WAIT_SECONDS: Final = 1.0


def lacking(one: Derivable, variants: Sequence[Variant], *, room: Darkroom) -> list[Variant]:
    """Those of these variants that it does not have, and that were not found a moment ago to be impossible."""

    def is_there(variant: Variant) -> bool:
        picture = one.pictures.get(variant.wanted.name(of_plate=one.of_plate))
        return picture is not None and (picture.stands(room.now()) or picture.is_refused(room.now()))

    return [variant for variant in variants if not is_there(variant)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many at once, and how often each is tried while too much is in hand."""

    at_once: int
    tries: int


async def make_all(
    page: Sequence[Derivable], variants: Sequence[Variant], notes: Notes, *, room: Darkroom, pace: Pace
) -> None:
    """Make what they lack; what became of each is counted as `made`, `refused`, `failed` or `gone`.

    Raises `Busy` when that went on, `StoreUnavailable` and `DatabaseUnavailable`; the rest is left then.
    """
    slots = asyncio.Semaphore(pace.at_once)

    async def one_of(one: Derivable, variant: Variant) -> None:
        async with slots:
            await _make_one(one, variant, notes, room=room, tries=pace.tries)

    wanted = [(one, variant) for one in page for variant in lacking(one, variants, room=room)]
    notes.counts["lacking"] += len(wanted)
    tasks = [asyncio.create_task(one_of(one, variant)) for one, variant in wanted]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


async def _make_one(one: Derivable, variant: Variant, notes: Notes, *, room: Darkroom, tries: int) -> None:
    name = f"{one.image.detection_id} {one.image.kind} {variant.name}"
    for left in reversed(range(tries)):
        try:
            outcome = await picture_of(one, variant.wanted, room=room)
        except (ImageRefused, InvalidRequest):
            notes.add("refused", name)
        except Busy:
            if not left:
                raise
            await asyncio.sleep(BUSY_WAIT_SECONDS)
            continue
        except Unavailable:
            raise
        except VaultError:
            notes.add("failed", name)
        else:
            notes.counts["made" if outcome.picture is not None else "gone"] += 1
        return
