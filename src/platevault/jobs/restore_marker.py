"""The restore marker: the vault's id and a number, in the database and then in the bucket, so that a restored dump shows.

The database goes first: a crash in between leaves the bucket behind, which says nothing. The other order would leave a
bucket that is ahead of a healthy database, which looks like a restored dump.
"""

import json
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.domain.object_prefixes import VAULT_MARKS
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.infra.postgres.database import Database
from platevault.infra.postgres.feed_positions import go_past_all
from platevault.jobs.report import UNMARKED_MOST, RestoreMarker
from platevault.jobs.run import JobContext
from platevault.jobs.sql import restore_marker as generation

log = structlog.get_logger(__name__)

KEY: Final = f"{VAULT_MARKS.name}generation"
WRITES_MOST: Final = 5
BYTES_MOST: Final = 1024
NUMBERS_END: Final = 2**62
# A number beyond it is nobody's count: confirming does not go past it, or no number would be left.
PLAUSIBLE_MOST: Final = 2**61


async def marker(*, database: Database, objects: ObjectStore) -> RestoreMarker:
    """What both say. Raises `StoreUnavailable` or `DatabaseUnavailable` when one of them is not known."""
    in_bucket = await _read(objects)
    vault, number = await generation.known(database)
    return _marker(in_bucket, vault=vault, number=number)


async def is_marked(objects: ObjectStore) -> bool:
    """Return False for a bucket that no vault has marked: it is new. Raises `StoreUnavailable`."""
    return await _read(objects) is not None


async def refuse_while_it_lags(context: JobContext) -> None:
    """Raise `Stopped` while the two disagree; to be called right before anything is marked, moved or deleted."""
    found = await marker(database=context.database, objects=context.objects)
    if found.reason is not None:
        raise Stopped(f"{found.reason} (database {found.database}, bucket {found.bucket})")


async def refuse_in_a_wrong_bucket(context: JobContext) -> None:
    """Raise `Stopped` where objects are hardly this database's own: a database that lags, or is new, may be rebuilt from them."""
    found = await marker(database=context.database, objects=context.objects)
    if found.is_wrong_bucket:
        raise Stopped(f"{found.reason} (database {found.database}, bucket {found.bucket})")


async def advance(context: JobContext) -> RestoreMarker:
    """One more in the database, then in the bucket; nothing is changed where they disagree."""
    before = await marker(database=context.database, objects=context.objects)
    if before.lags:
        return _refused(before)
    number: int | None = before.database
    # A bucket that takes no marker must not make its own database look like a stranger's: it catches up first.
    if before.bucket is not None or before.database < UNMARKED_MOST:
        number = await generation.advance(context.database, bucket=before.bucket or 0)
    vault, _ = await generation.known(context.database)
    if number is None:
        return _refused(before)
    after = _marker(await _write(context.objects, number, vault=vault), vault=vault, number=number)
    return _refused(after) if after.is_of_another_vault else RestoreMarker(database=number, bucket=number)


async def confirm_restore(context: JobContext) -> RestoreMarker:
    """Database and bucket as they are now count from here on: the number goes past the bucket's, and the bucket follows.

    The change feed goes on behind all that was ever read from it, also what came after the dump and is not there any more.
    """
    in_bucket = await _read(context.objects)
    await go_past_all(context.database)
    vault, _ = await generation.known(context.database)
    seen = (in_bucket and in_bucket.number) or 0
    number = await generation.go_past(context.database, bucket=seen if seen <= PLAUSIBLE_MOST else 0)
    await _write(context.objects, number, vault=vault, over_anything=True)
    log.warning("restore confirmed", generation=number)
    return RestoreMarker(database=number, bucket=number)


async def refuse_another_vaults(objects: ObjectStore, vault: UUID) -> None:
    """Raise `Stopped` where the bucket's marker is of another vault than this."""
    found = await _read(objects)
    if found is not None and found.vault not in (None, vault):
        raise Stopped(
            f"the bucket is another vault's ({found.vault}, not {vault}): look at MINIO_BUCKET; where a new vault began in it by"
            f" mistake, remove its {KEY} first"
        )


async def let_restore_show(objects: ObjectStore, *, vault: UUID, number: int) -> None:
    """From now on a database of this vault that has counted to `number`, and no further, is behind the bucket, and nothing is marked,
    moved or deleted on it before an operator confirms. Raises `StoreUnavailable`.

    A marker that cannot be read stops them as well.
    """
    found = await _read(objects)
    if found is None or found.number is not None:
        await _write(objects, number + 1, vault=vault)


@dataclass(frozen=True, slots=True, kw_only=True)
class _InBucket:
    """What stands under the key; `number` is None when it cannot be read as one, `vault` when an older version wrote it."""

    number: int | None
    vault: UUID | None = None

    @property
    def known(self) -> int:
        if self.number is None:
            raise StoreUnavailable(
                f"{KEY} in the bucket is unreadable: `platevault reconcile --confirm-restore` writes it anew"
            )
        return self.number


def _marker(in_bucket: _InBucket | None, *, vault: UUID, number: int) -> RestoreMarker:
    if in_bucket is None:
        return RestoreMarker(database=number, bucket=None)
    is_other = in_bucket.vault not in (None, vault)
    return RestoreMarker(database=number, bucket=in_bucket.known, is_of_another_vault=is_other)


def _refused(found: RestoreMarker) -> RestoreMarker:
    log.error("restore marker is not advanced", database=found.database, bucket=found.bucket, why=found.reason)
    return found


async def _read(objects: ObjectStore) -> _InBucket | None:
    standing = await objects.stat(KEY)
    if standing is not None and standing.size > BYTES_MOST:
        return _InBucket(number=None)
    data = await objects.get(KEY)
    return None if data is None else _parsed(data)


def _parsed(data: bytes) -> _InBucket:
    try:
        found = json.loads(data[: BYTES_MOST + 1])
        number, vault = found["number"], found.get("vault")
        known = None if vault is None else UUID(vault)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _InBucket(number=None)
    if type(number) is not int or not 0 <= number < NUMBERS_END or len(data) > BYTES_MOST:
        return _InBucket(number=None)
    return _InBucket(number=number, vault=known)


def _stays(found: _InBucket, *, number: int, vault: UUID) -> bool:
    if found.vault is None:  # an older version's: it is taken over
        return found.known > number
    return found.known >= number or found.vault != vault


async def _write(objects: ObjectStore, number: int, *, vault: UUID, over_anything: bool = False) -> _InBucket:
    """What stands in the bucket then: this number, or a higher one or another vault's that somebody else wrote meanwhile."""
    ours = _InBucket(number=number, vault=vault)
    said = json.dumps({"number": number, "vault": str(vault)}).encode()
    new = NewObject(data=said, content_type="application/json", metadata={})
    for _ in range(WRITES_MOST):
        standing = await objects.stat(KEY)  # before its content: an older etag makes the put fail, never win
        found = await _read(objects)
        if standing is None or found is None:
            written = await objects.create(KEY, new)
        elif not over_anything and _stays(found, number=number, vault=vault):
            return found
        else:
            written = await objects.replace(KEY, new, etag=standing.etag)
        if written:
            return ours
    raise StoreUnavailable(f"{KEY} changed again and again while it was being written")
