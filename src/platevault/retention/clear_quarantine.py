"""What was set aside of an image goes when the image itself is forgotten: quarantine is no place where erased things stay readable.

What no row knows stays, for whoever looks into it: an orphan names nobody that retention knows.
"""

import re
from typing import Final

import structlog

from platevault.catalog.sql.images import find_images
from platevault.domain.errors import ObjectRefused, StoreUnavailable
from platevault.domain.images import ImageState
from platevault.domain.object_keys import KeyParts, parse_object_key
from platevault.jobs.report import HOLDS_PREFIX, QUARANTINE, SWEEP, Notes
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext
from platevault.jobs.sql.runs import last_to_say

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
LOOKS_MOST: Final = 20_000
PASSED: Final = "quarantine passed"
# quarantine/WHY/KEY, or quarantine/WHY/DIGEST/KEY where other bytes of that key were there before.
_SET_ASIDE: Final = re.compile(re.escape(QUARANTINE) + r"[a-z]+/(?:[0-9a-f]{64}/)?(?P<key>.+)")
_FORGOTTEN: Final = frozenset({ImageState.EXPIRED, ImageState.DELETED})


async def clear_quarantine(context: JobContext, notes: Notes) -> None:
    """Delete what stands under `quarantine/` of images that are expired or deleted; counted as `quarantine removed`.

    At most 20,000 objects are looked at; the next run goes on where this one ended, and begins again after the last. What the store
    does not let go of waits for that. Raises `Stopped` while the restore marker lags.
    """
    notes.counts["quarantine removed"] = 0
    before = await last_to_say(context.database, SWEEP, PASSED)
    passed = 0 if before is None else int(before.findings[PASSED])
    notes.facts[PASSED] = passed
    page: list[tuple[str, KeyParts | None]] = []
    number, end = 0, passed + LOOKS_MOST
    try:
        async for key, _, _ in context.objects.list(QUARANTINE):
            number += 1
            if number <= passed:
                continue
            page.append((key, set_aside(key)))
            if len(page) == AT_ONCE or number == end:
                await _clear(page, context, notes)
                page = []
            if number == end:
                break
        else:
            await _clear(page, context, notes)
            notes.facts[PASSED] = 0
        await context.objects.settle()
    except StoreUnavailable as error:
        log.warning("quarantine of forgotten images waits", why=str(error))
        notes.facts["quarantine waits"] = str(error)


def set_aside(key: str) -> KeyParts | None:
    """Which image this object of quarantine is, or was taken for; None where its name does not tell."""
    match = _SET_ASIDE.fullmatch(key)
    return None if match is None else parse_object_key(match["key"].removeprefix(HOLDS_PREFIX))


async def _clear(page: list[tuple[str, KeyParts | None]], context: JobContext, notes: Notes) -> None:
    """What stays of the page is passed by: so many objects the next run need not look at."""
    if not page:
        return
    await refuse_while_it_lags(context)
    names = sorted({(parts.detection_id, parts.image_type) for _, parts in page if parts is not None})
    async with context.database.reading() as connection:
        rows = await find_images(names, connection)
    for key, parts in page:
        row = None if parts is None else rows.get((parts.detection_id, parts.image_type))
        if row is not None and row.state in _FORGOTTEN and await _deleted(key, context, notes):
            notes.counts["quarantine removed"] += 1
        else:
            notes.facts[PASSED] += 1


async def _deleted(key: str, context: JobContext, notes: Notes) -> bool:
    """A single object that the store does not let go of keeps none behind it."""
    try:
        await context.objects.delete(key)
    except ObjectRefused as error:
        notes.facts["quarantine waits"] = str(error)
        return False
    return True
