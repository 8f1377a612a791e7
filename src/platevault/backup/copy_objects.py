"""Copy a bucket into a backup, and back: objects with all that travels with them, each hashed on its way."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

import stamina
import structlog

from platevault.backup.manifest import NOT_COPIED, Bytes, ObjectEntry
from platevault.backup.whole_backup import ObjectInBackup, WholeBackup
from platevault.domain.errors import Corrupted, InvalidRequest, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.jobs.report import Notes
from platevault.jobs.restore_marker import KEY as MARKER_KEY
from platevault.jobs.run import Unreadable

log = structlog.get_logger(__name__)

READS_AT_ONCE: Final = 8
ATTEMPTS: Final = 3
LEFT_OUT: Final = "unreadable"
DAMAGED: Final = "damaged"

Listed = tuple[str, int, datetime]


class Copies(Protocol):
    """The objects of a new backup, plain or encrypted. A line is the entry of one object in its list."""

    def take_over(self, key: str, *, size: int, modified_at: datetime) -> str | None: ...
    def put(self, entry: ObjectEntry, data: Bytes) -> str: ...
    def note(self, line: str) -> None: ...
    def flush(self) -> None: ...


async def copy_objects(
    objects: ObjectStore,
    copies: Copies,
    *,
    notes: Notes,
    keep_room: Callable[[int], None],
    moved: Callable[[int], None],
) -> None:
    """All that is listed is in the copies, but for what can be made again; what goes meanwhile had its reason to.

    `notes` count `objects`, `bytes`, `linked` and name what could not be read; `keep_room` is asked before each read. Raises
    `StoreUnavailable` when the store as a whole does not answer.
    """
    unreadable = Unreadable(objects=objects, notes=notes)
    page: list[Listed] = []

    async def flush() -> None:
        keep_room(sum(size for _, size, _ in page))
        await asyncio.gather(*(_copy(one, objects=objects, copies=copies, unreadable=unreadable) for one in page))
        copies.flush()
        unreadable.give_up_after_many()
        moved(len(page))
        page.clear()

    async for key, size, modified_at in objects.list(""):
        if key.startswith(NOT_COPIED):
            continue
        page.append((key, size, modified_at))
        if len(page) == READS_AT_ONCE:
            await flush()
    await flush()


async def _copy(listed: Listed, *, objects: ObjectStore, copies: Copies, unreadable: Unreadable) -> None:
    key, size, modified_at = listed
    notes = unreadable.notes
    try:
        line = await asyncio.to_thread(copies.take_over, key, size=size, modified_at=modified_at)
        if line is not None:
            notes.counts["linked"] += 1
        else:
            found = await _read(objects, key)
            if found is None:
                notes.counts["gone meanwhile"] += 1
                return
            entry = ObjectEntry.of(key, found, modified_at=modified_at)
            size = entry.size
            line = await asyncio.to_thread(copies.put, entry, found.data)
            if found.metadata.get("sha256", entry.sha256) != entry.sha256:
                notes.add("its bytes are not what its metadata says", key)  # copied as it is: it may be evidence
    except (InvalidRequest, IsADirectoryError, NotADirectoryError, FileExistsError):
        notes.add(LEFT_OUT, key)  # a foreign key that is no path, or `a` beside `a/b`, which cannot both be files
        return
    except StoreUnavailable as error:
        await unreadable.add(key, error)
        return
    copies.note(line)
    unreadable.in_a_row = 0
    notes.counts["objects"] += 1
    notes.counts["bytes"] += size


async def _read(objects: ObjectStore, key: str) -> NewObject | None:
    """An object missed for one answer that did not come would be missing in the backup: it is asked for again."""
    async for attempt in stamina.retry_context(on=_passes, attempts=ATTEMPTS, timeout=60.0):
        with attempt:
            about, data = await objects.stat(key), await objects.get(key)
            if about is None or data is None:
                return None
            return NewObject(
                data=data,
                content_type=about.content_type,
                metadata=about.metadata,
                cache_control=about.cache_control,
            )
    raise AssertionError("retry_context returns or raises")


def _passes(error: Exception) -> bool:
    return isinstance(error, StoreUnavailable) and not isinstance(error, StoreMisconfigured)


async def restore_objects(
    backup: WholeBackup, objects: ObjectStore, *, notes: Notes, moved: Callable[[int], None]
) -> None:
    """Every object of the backup stands in the store; what stands there already stays, and is named where it is another one.

    Bytes that are not what was backed up are named as `damaged` and left out: the others are not to be lost for them. Raises
    `Corrupted` for a list that cannot be read, `StoreUnavailable`.
    """
    page: list[ObjectInBackup] = []

    async def flush() -> None:
        await asyncio.gather(*(_put_back(one, objects=objects, notes=notes) for one in page))
        moved(len(page))
        page.clear()

    for stored in backup.objects():
        page.append(stored)
        if len(page) == READS_AT_ONCE:
            await flush()
    await flush()
    await objects.settle()


async def _put_back(stored: ObjectInBackup, *, objects: ObjectStore, notes: Notes) -> None:
    try:
        entry, data = await asyncio.to_thread(stored.read)
    except Corrupted as error:
        log.error("object is damaged in the backup", why=str(error))
        notes.add(DAMAGED, stored.label)
        return
    new = NewObject(
        data=data, content_type=entry.content_type, metadata=entry.metadata, cache_control=entry.cache_control
    )
    async for attempt in stamina.retry_context(on=_passes, attempts=ATTEMPTS, timeout=60.0):
        with attempt:
            if await objects.create(entry.key, new):
                notes.counts["put back"] += 1
                return
            standing = await objects.stat(entry.key)
    is_same = standing is not None and (standing.size, dict(standing.metadata)) == (entry.size, dict(entry.metadata))
    if is_same or entry.key == MARKER_KEY:
        notes.counts["there already"] += 1
    else:
        notes.add("another object stands there", entry.key)
