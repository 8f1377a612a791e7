"""Make rows again from what objects say of themselves, after a database was lost or an old dump was restored.

What metadata holds comes back: ids, times, camera, batch, retention, digests, holds. Plates come only from a dump. Rows that
are there, tombstones above all, stay as they are, so a run can be ended and begun again at any time.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

from platevault.domain.errors import StoreUnavailable
from platevault.domain.object_keys import RESERVED_KINDS, parse_object_key
from platevault.infra.objectstore.verified_copy import digest_of
from platevault.integrity.rebuilt_rows import RebuiltImage, dimensions_of, rebuilt_image
from platevault.integrity.sql.rebuild import insert_rebuilt, wanting
from platevault.jobs.report import HOLDS_PREFIX, JobRun, Notes
from platevault.jobs.restore_marker import refuse_in_a_wrong_bucket
from platevault.jobs.run import JobContext, Unreadable, record_job

JOB: Final = "rebuild"
OBJECTS_A_PAGE: Final = 200
READS_AT_ONCE: Final = 8

Named = tuple[str, str, str]
"""(key, detection id, image kind)"""


async def rebuild(
    context: JobContext,
    *,
    act: bool = False,
    trust_metadata: bool = False,
    moved: Callable[[int], None] = lambda _objects: None,
) -> JobRun:
    """Which objects have no row, and with `act` their rows; each object's bytes are hashed first unless its metadata is trusted.

    `moved` hears of every page of objects. An object that does not tell what it is, or has other bytes than it says, is listed.
    """

    async def work(notes: Notes) -> None:
        unreadable = Unreadable(objects=context.objects, notes=notes)
        if act:
            await refuse_in_a_wrong_bucket(context)
        async for page in _pages(context, notes):
            found = await _readable(page, context=context, unreadable=unreadable, trusted=trust_metadata)
            for image in found:
                notes.add("without row" if not image.is_held else "hold copies without hold", image.key)
            if act and found:
                await _insert(found, notes=notes, context=context)
            unreadable.give_up_after_many()  # at the end of a page, with its rows made: the next run has less to do
            moved(len(page))

    return await record_job(JOB, work, context=context, dry_run=not act)


async def _pages(context: JobContext, notes: Notes) -> AsyncIterator[list[Named]]:
    page: list[Named] = []
    async for key, _, _ in context.objects.list(""):
        parts = parse_object_key(key.removeprefix(HOLDS_PREFIX))
        if parts is None:
            if key.partition("/")[0] not in RESERVED_KINDS:
                notes.add("foreign", key)
            continue
        notes.add("objects")
        page.append((key, parts.detection_id, parts.image_type))
        if len(page) == OBJECTS_A_PAGE:
            yield page
            page = []
    if page:
        yield page


async def _without_rows(page: Sequence[Named], *, context: JobContext) -> list[str]:
    originals = [one for one in page if not one[0].startswith(HOLDS_PREFIX)]
    copies = [one for one in page if one[0].startswith(HOLDS_PREFIX)]
    return sorted(
        await wanting(context.database, originals, held=False) | await wanting(context.database, copies, held=True)
    )


async def _readable(
    page: Sequence[Named], *, context: JobContext, unreadable: Unreadable, trusted: bool
) -> list[RebuiltImage]:
    """What tells of itself, of those without rows. One that has its row ends a row of unreadable ones: it was readable once."""
    wanted = await _without_rows(page, context=context)
    told: dict[str, RebuiltImage | StoreUnavailable | None] = {}
    for start in range(0, len(wanted), READS_AT_ONCE):
        some = wanted[start : start + READS_AT_ONCE]
        read = await asyncio.gather(
            *(_read(key, notes=unreadable.notes, context=context, trusted=trusted) for key in some)
        )
        told.update(zip(some, read, strict=True))

    for key, _, _ in page:
        one = told.get(key)
        if isinstance(one, StoreUnavailable):
            await unreadable.add(key, one)
        else:
            unreadable.in_a_row = 0
    return [one for one in told.values() if isinstance(one, RebuiltImage)]


async def _read(
    key: str, *, notes: Notes, context: JobContext, trusted: bool
) -> RebuiltImage | StoreUnavailable | None:
    try:
        return await _told(key, notes=notes, context=context, trusted=trusted)
    except StoreUnavailable as error:
        return error


async def _told(key: str, *, notes: Notes, context: JobContext, trusted: bool) -> RebuiltImage | None:
    standing = await context.objects.stat(key)
    if standing is None:
        return None
    image = rebuilt_image(
        key=key,
        size=standing.size,
        content_type=standing.content_type,
        modified_at=standing.modified_at,
        values=standing.metadata,
    )
    if isinstance(image, str):
        notes.add(image, key)
        return None
    if trusted:
        return image
    data = await context.objects.get(key)
    if data is None:
        return None
    if len(data) != image.size or await digest_of(data) != image.sha256:
        notes.add("its bytes are not what its metadata says", key)
        return None
    width, height = dimensions_of(image.content_type, data)
    return replace(image, width=width, height=height)


async def _insert(found: Sequence[RebuiltImage], *, notes: Notes, context: JobContext) -> None:
    new = await insert_rebuilt(context.database, found)
    notes.counts["detections rebuilt"] += len(new.detections)
    notes.counts["images rebuilt"] += len(new.images)
    notes.counts["held"] += len(new.held)
    for image in found:
        name = (image.metadata.detection_id, image.kind)
        if name not in new.images and name not in new.held:
            notes.add("its row is there and says something else", image.key)
