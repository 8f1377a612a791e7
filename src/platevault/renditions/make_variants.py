"""Make the named variants that images lack, a few at a time; one that cannot be made holds up none of the others."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from platevault.domain.error_chain import names_of
from platevault.domain.errors import (
    Busy,
    DatabaseUnavailable,
    ImageRefused,
    InvalidRequest,
    Missing,
    ObjectRefused,
    StoreUnavailable,
)
from platevault.jobs.report import Notes
from platevault.renditions.context import RenditionContext
from platevault.renditions.render import picture_of
from platevault.renditions.sql.renditions import Derivable
from platevault.renditions.variants import Variant

log = structlog.get_logger(__name__)

BUSY_WAIT_SECONDS: Final = 1.0
FAILED: Final = "failed"


def lacking(one: Derivable, variants: Sequence[Variant], *, context: RenditionContext) -> list[Variant]:
    """Those of these variants that it does not have, and that were not found a moment ago to be impossible."""

    def is_there(variant: Variant) -> bool:
        picture = one.pictures.get(variant.wanted.name(of_plate=one.of_plate))
        return picture is not None and (picture.stands(context.now()) or picture.is_refused(context.now()))

    return [variant for variant in variants if not is_there(variant)]


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantPace:
    """How many at once, and how often each is tried while no picture at all can be made."""

    at_once: int
    tries: int


async def make_all(
    page: Sequence[Derivable],
    variants: Sequence[Variant],
    notes: Notes,
    *,
    context: RenditionContext,
    pace: VariantPace,
) -> list[Derivable]:
    """Make what they lack; what became of each is counted as `made`, `refused`, `failed` or `gone`. Returns the images of those that
    failed, each once: something is wrong with them alone, and they may be tried again.

    Raises `Busy` when no picture at all can be made and that went on, `StoreUnavailable` and `DatabaseUnavailable`; the rest is left then.
    """
    slots = asyncio.Semaphore(pace.at_once)
    failed: dict[tuple[str, str, bool], Derivable] = {}

    async def one_of(one: Derivable, variant: Variant) -> None:
        async with slots:
            became = await _make_one(one, variant, context=context, tries=pace.tries)
        name = f"{one.image.detection_id} {one.image.kind} {variant.name}"
        notes.add(became, name if became in {"refused", FAILED} else None)
        if became == FAILED:
            failed[one.image.detection_id, one.image.kind, one.of_plate] = one

    wanted = [(one, variant) for one in page for variant in lacking(one, variants, context=context)]
    notes.counts["lacking"] += len(wanted)
    tasks = [asyncio.create_task(one_of(one, variant)) for one, variant in wanted]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return list(failed.values())


async def _make_one(one: Derivable, variant: Variant, *, context: RenditionContext, tries: int) -> str:
    """What became of it, in one word."""
    for left in reversed(range(tries)):
        try:
            outcome = await picture_of(one, variant.wanted, context=context, behind=True)
        except (ImageRefused, InvalidRequest):
            return "refused"
        except Missing:
            return "gone"
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is about this image, the next one is another
            if await _is_its_own_fault(error, context=context, is_last=not left):
                log.warning(
                    "variant could not be made",
                    detection=one.image.detection_id,
                    kind=one.image.kind,
                    variant=variant.name,
                    error=names_of(error),
                )
                return FAILED
            await asyncio.sleep(BUSY_WAIT_SECONDS)
        else:
            return "made" if outcome.picture is not None else "gone"
    raise AssertionError("the last try returns or raises")


async def _is_its_own_fault(error: Exception, *, context: RenditionContext, is_last: bool) -> bool:
    """Whether others can be made all the same. False: no picture can be made now, and there are tries left.

    Raises what store or renderer say of themselves where it is theirs.
    """
    if isinstance(error, StoreUnavailable) and not isinstance(error, ObjectRefused):
        await context.objects.check()
    elif isinstance(error, Busy):
        try:
            await context.decoder.check()
        except Busy:
            if is_last:
                raise
            return False
    return True
