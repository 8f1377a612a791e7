"""The restore marker: a number that advances in the database and then in the bucket, so that a restored dump shows.

The database goes first: a crash in between leaves the bucket behind, which says nothing. The other order would leave a
bucket that is ahead of a healthy database, which looks like a restored dump.
"""

import json
from dataclasses import dataclass
from typing import Final

import structlog

from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.domain.upkeep import Marker
from platevault.flows.upkeep import Upkeep
from platevault.stores import generation
from platevault.stores.database import Database
from platevault.stores.objects import NewObject, ObjectStore

log = structlog.get_logger(__name__)

KEY: Final = "meta/generation"
WRITES_MOST: Final = 5
LAGS: Final = (
    "the database is older than the bucket has seen, as after a dump was restored: nothing is marked, moved or deleted."
    " `platevault rebuild` brings rows back from the objects; then `platevault reconcile --confirm-restore`"
)


async def marker(*, database: Database, objects: ObjectStore) -> Marker:
    """Both numbers. Raises `StoreUnavailable` or `DatabaseUnavailable` when one of them is not known."""
    in_bucket = await _read(objects)
    return Marker(database=await generation.number(database), bucket=None if in_bucket is None else in_bucket.known)


async def refuse_while_it_lags(upkeep: Upkeep) -> None:
    """Raise `Stopped` while the database lags; to be called right before anything is marked, moved or deleted."""
    found = await marker(database=upkeep.database, objects=upkeep.objects)
    if found.lags:
        raise Stopped(f"{LAGS} (database {found.database}, bucket {found.bucket})")


async def advance(upkeep: Upkeep) -> Marker:
    """One more in the database, then in the bucket; nothing is changed where the database lags."""
    before = await marker(database=upkeep.database, objects=upkeep.objects)
    number = await generation.advance(upkeep.database, bucket=before.bucket or 0)
    if number is None:
        log.error("database lags behind the bucket", database=before.database, bucket=before.bucket, fix=LAGS)
        return before
    await _write(upkeep.objects, number)
    return Marker(database=number, bucket=number)


async def confirm_restore(upkeep: Upkeep) -> Marker:
    """The database as it is now counts from here on: its number goes past the bucket's, and the bucket follows."""
    in_bucket = await _read(upkeep.objects)
    number = await generation.go_past(upkeep.database, bucket=(in_bucket and in_bucket.number) or 0)
    await _write(upkeep.objects, number, over_what_cannot_be_read=True)
    log.warning("restore confirmed", generation=number)
    return Marker(database=number, bucket=number)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InBucket:
    """What stands under the key; `number` is None when it cannot be read as one."""

    number: int | None

    @property
    def known(self) -> int:
        if self.number is None:
            raise StoreUnavailable(
                f"{KEY} in the bucket holds no number: `platevault reconcile --confirm-restore` writes it anew"
            )
        return self.number


async def _read(objects: ObjectStore) -> _InBucket | None:
    data = await objects.get(KEY)
    if data is None:
        return None
    try:
        number = json.loads(data)["number"]
    except (ValueError, KeyError, TypeError):
        return _InBucket(number=None)
    return _InBucket(number=number if type(number) is int and number >= 0 else None)


async def _write(objects: ObjectStore, number: int, *, over_what_cannot_be_read: bool = False) -> None:
    """The bucket has this number, or a higher one that somebody else wrote meanwhile."""
    new = NewObject(data=json.dumps({"number": number}).encode(), content_type="application/json", metadata={})
    for _ in range(WRITES_MOST):
        standing = await objects.stat(KEY)  # before its content: an older etag makes the put fail, never win
        found = await _read(objects)
        if standing is None or found is None:
            written = await objects.create(KEY, new)
        elif found.number is None and over_what_cannot_be_read:
            written = await objects.replace(KEY, new, etag=standing.etag)
        elif found.known >= number:
            return
        else:
            written = await objects.replace(KEY, new, etag=standing.etag)
        if written:
            return
    raise StoreUnavailable(f"{KEY} changed again and again while it was being written")
