"""What was set aside of an image goes when the image itself is forgotten: quarantine is no place where erased things stay readable.

What no row knows stays, for whoever looks into it: an orphan names nobody that retention knows.
"""

import re
from typing import Final

import structlog

from platevault.domain.errors import StoreUnavailable
from platevault.domain.images import ImageState
from platevault.domain.keys import KeyParts, parse_object_key
from platevault.domain.upkeep import HOLDS_PREFIX, QUARANTINE, Notes
from platevault.flows.generation import refuse_while_it_lags
from platevault.flows.upkeep import Upkeep
from platevault.stores.search import find_images

log = structlog.get_logger(__name__)

AT_ONCE: Final = 500
# quarantine/WHY/KEY, or quarantine/WHY/DIGEST/KEY where other bytes of that key were there before.
_SET_ASIDE: Final = re.compile(re.escape(QUARANTINE) + r"[a-z]+/(?:[0-9a-f]{64}/)?(?P<key>.+)")
_FORGOTTEN: Final = frozenset({ImageState.EXPIRED, ImageState.DELETED})


async def clear_quarantine(upkeep: Upkeep, notes: Notes) -> None:
    """Delete what stands under `quarantine/` of images that are expired or deleted; counted as `quarantine removed`.

    What the store does not let go of waits for the next run. Raises `Stopped` while the restore marker lags.
    """
    notes.counts["quarantine removed"] = 0
    page: list[tuple[str, KeyParts]] = []
    try:
        async for key, _, _ in upkeep.objects.list(QUARANTINE):
            parts = set_aside(key)
            if parts is not None:
                page.append((key, parts))
            if len(page) == AT_ONCE:
                await _clear(page, upkeep, notes)
                page = []
        await _clear(page, upkeep, notes)
        await upkeep.objects.settle()
    except StoreUnavailable as error:
        log.warning("quarantine of forgotten images waits", why=str(error))
        notes.facts["quarantine waits"] = str(error)


def set_aside(key: str) -> KeyParts | None:
    """Which image this object of quarantine is, or was taken for; None where its name does not tell."""
    match = _SET_ASIDE.fullmatch(key)
    return None if match is None else parse_object_key(match["key"].removeprefix(HOLDS_PREFIX))


async def _clear(page: list[tuple[str, KeyParts]], upkeep: Upkeep, notes: Notes) -> None:
    if not page:
        return
    await refuse_while_it_lags(upkeep)
    names = sorted({(parts.detection_id, parts.image_type) for _, parts in page})
    async with upkeep.database.reading() as connection:
        rows = await find_images(names, connection)
    for key, parts in page:
        row = rows.get((parts.detection_id, parts.image_type))
        if row is not None and row.state in _FORGOTTEN:
            await upkeep.objects.delete(key)
            notes.counts["quarantine removed"] += 1
