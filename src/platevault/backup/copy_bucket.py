"""The bucket's part of a backup: plain files under their keys, or encrypted ones under names that reveal nothing."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final

from platevault.backup.copy_objects import LEFT_OUT, copy_objects
from platevault.backup.folder import BackupDraft
from platevault.backup.manifest import INDEX, OBJECTS
from platevault.backup.object_files import ObjectCopies
from platevault.backup.sealed_objects import SealedCopies
from platevault.domain.object_prefixes import BACKUP_NAMES
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.jobs.report import Notes

__all__ = ["LEFT_OUT", "copy_bucket"]

SECRET_BYTES: Final = 32


async def copy_bucket(
    objects: ObjectStore, draft: BackupDraft, *, notes: Notes, moved: Callable[[int], None]
) -> Mapping[str, Any]:
    """Copy all objects into the draft; return the counts. `notes` has the keys of odd and unreadable objects."""
    copies: ObjectCopies | SealedCopies
    if draft.recipients is None:
        copies = await asyncio.to_thread(ObjectCopies, draft.folder, earlier=draft.earlier)
    else:
        secret = await _secret_of_names(objects)
        copies = await asyncio.to_thread(
            SealedCopies, draft.folder, earlier=draft.earlier, recipients=draft.recipients, secret=secret
        )
    try:
        await copy_objects(objects, copies, notes=notes, keep_room=draft.keep_room, moved=moved)
    finally:
        copies.close()
    await asyncio.to_thread(draft.add, draft.folder / (OBJECTS if draft.recipients is None else INDEX))
    return dict(notes.counts)


async def _secret_of_names(objects: ObjectStore) -> bytes:
    """Return the secret that names encrypted objects; the first encrypted backup makes it. Raises `StoreUnavailable`."""
    known = await objects.get(BACKUP_NAMES)
    while known is None:
        new = NewObject(data=secrets.token_bytes(SECRET_BYTES), content_type="application/octet-stream", metadata={})
        await objects.create(BACKUP_NAMES, new)  # another backup may be first: its secret counts
        known = await objects.get(BACKUP_NAMES)
    return known
