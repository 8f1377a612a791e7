"""Copies of held images: which are due, by leases of the database's clock, which are verified, which have to be looked at again."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.domain.object_prefixes import HOLD_COPIES
from platevault.holds.hold import DueCopy, HeldCopy
from platevault.infra.postgres.database import Database

Name = tuple[str, str]
"""(detection id, kind)"""

# What waits in a spool is due once it is stored; what is missing, once it is healed. What failed waits for its lease to end,
# so that it holds up nobody.
_LEASE: Final = text("""
    WITH due AS (
        SELECT h.hold_id, h.detection_id, h.kind FROM hold_images h JOIN images i USING (detection_id, kind)
        WHERE h.state = 'copying' AND h.released_at IS NULL AND (h.lease_until IS NULL OR h.lease_until <= now())
            AND i.state = 'stored' AND (CAST(:hold_id AS uuid) IS NULL OR h.hold_id = CAST(:hold_id AS uuid))
            AND (CAST(:ids AS text[]) IS NULL OR h.detection_id = ANY(CAST(:ids AS text[])))
        ORDER BY h.hold_id, h.detection_id, h.kind LIMIT :most FOR UPDATE OF h SKIP LOCKED
    ), leased AS (
        UPDATE hold_images AS h SET lease_owner = gen_random_uuid(), lease_until = now() + :lease, attempts = h.attempts + 1
        FROM due WHERE h.hold_id = due.hold_id AND h.detection_id = due.detection_id AND h.kind = due.kind
        RETURNING h.*
    )
    SELECT l.hold_id, l.detection_id, l.kind, l.attempts, l.lease_owner, i.key, i.content_type, i.size, i.sha256, o."case",
        o.review_on, d.collector_id, d.camera_id, d.batch_id, d.captured_at, d.retain_until
    FROM leased l JOIN images i USING (detection_id, kind) JOIN detections d USING (detection_id) JOIN holds o USING (hold_id)
    ORDER BY l.detection_id, l.kind
""")
_NAMES: Final = (
    "unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:keys AS text[])) AS u(detection_id, kind, key)"
)
_LOCK: Final = text(f"""
    SELECT i.detection_id, i.kind, i.state FROM images i JOIN {_NAMES} USING (detection_id, kind)
    ORDER BY i.detection_id, i.kind FOR UPDATE OF i
""")  # noqa: S608  a constant
_POINT: Final = text(f"""
    UPDATE images AS i SET key = u.key FROM {_NAMES}
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind AND i.state = 'stored' AND '{HOLD_COPIES.name}' || i.key = u.key
""")  # noqa: S608  a constant
_HELD: Final = text(f"""
    UPDATE hold_images AS h SET state = 'held', verified_at = now(), last_error = NULL, lease_owner = NULL, lease_until = NULL
    FROM {_NAMES} JOIN images i USING (detection_id, kind)
    WHERE h.detection_id = u.detection_id AND h.kind = u.kind AND h.state = 'copying' AND h.released_at IS NULL
        AND i.state = 'stored' AND i.key = u.key
""")  # noqa: S608  a constant
_PUT_BACK: Final = text("""
    UPDATE hold_images AS h SET lease_owner = NULL, lease_until = now() + u.delay, last_error = u.error
    FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[]), CAST(:owners AS uuid[]), CAST(:delays AS interval[]),
                CAST(:errors AS text[])) AS u(detection_id, kind, owner, delay, error)
    WHERE h.detection_id = u.detection_id AND h.kind = u.kind AND h.lease_owner = u.owner AND h.state = 'copying'
""")
_REDIRECT: Final = text(f"""
    UPDATE images AS i SET key = '{HOLD_COPIES.name}' || i.key, lease_owner = NULL, lease_until = now()
    FROM (
        SELECT i.detection_id, i.kind FROM images i
        WHERE i.state = 'pending' AND i.key NOT LIKE '{HOLD_COPIES.name}%' AND EXISTS (
            SELECT FROM hold_images h
            WHERE h.detection_id = i.detection_id AND h.kind = i.kind AND h.state = 'copying' AND h.released_at IS NULL)
        ORDER BY i.detection_id, i.kind LIMIT :most FOR UPDATE OF i
    ) AS u
    WHERE i.detection_id = u.detection_id AND i.kind = u.kind RETURNING i.detection_id
""")  # noqa: S608  a constant prefix
_ADOPT: Final = text("""
    INSERT INTO hold_images (hold_id, detection_id, kind, state)
    SELECT d.hold_id, i.detection_id, i.kind, 'copying' FROM hold_detections d JOIN images i USING (detection_id)
    WHERE d.released_at IS NULL AND i.state IN ('pending', 'stored', 'missing')
        AND NOT EXISTS (SELECT FROM hold_images h WHERE h.hold_id = d.hold_id AND h.detection_id = i.detection_id AND h.kind = i.kind)
    ORDER BY i.detection_id, i.kind LIMIT :most ON CONFLICT DO NOTHING RETURNING detection_id
""")
_COPIES_AFTER: Final = text("""
    SELECT DISTINCT i.detection_id, i.kind, i.key, i.size, i.sha256 FROM hold_images h JOIN images i USING (detection_id, kind)
    WHERE h.state = 'held' AND h.released_at IS NULL AND (h.detection_id, h.kind) > (:after_id, :after_kind)
    ORDER BY i.detection_id, i.kind LIMIT :most
""")
_OLDEST: Final = text("""
    SELECT DISTINCT i.detection_id, i.kind, i.key, i.size, i.sha256 FROM (
        SELECT detection_id, kind FROM hold_images
        WHERE state = 'held' AND released_at IS NULL AND verified_at < :before ORDER BY verified_at LIMIT :most
    ) AS h JOIN images i USING (detection_id, kind)
""")
_VERIFIED: Final = text("""
    UPDATE hold_images AS h SET verified_at = greatest(h.verified_at, now())
    FROM unnest(CAST(:ids AS text[]), CAST(:kinds AS text[])) AS u(detection_id, kind)
    WHERE h.detection_id = u.detection_id AND h.kind = u.kind AND h.state = 'held' AND h.released_at IS NULL
""")
_BROKEN: Final = text("""
    UPDATE hold_images SET state = 'copying', last_error = :why, lease_owner = NULL, lease_until = NULL
    WHERE detection_id = :detection_id AND kind = :kind AND state = 'held' AND released_at IS NULL
""")
_IS_HELD: Final = text("""
    SELECT NOT EXISTS (SELECT FROM hold_images
        WHERE detection_id = :detection_id AND kind = :kind AND state = 'copying' AND released_at IS NULL)
""")
_TOTALS: Final = text("""
    SELECT count(*) FILTER (WHERE h.state = 'held') AS held, count(*) FILTER (WHERE h.state = 'copying') AS copying,
        count(*) FILTER (WHERE h.state = 'copying' AND h.last_error IS NOT NULL) AS without_copy
    FROM hold_images h WHERE h.released_at IS NULL AND h.state IN ('held', 'copying')
""")


async def lease_copies(
    database: Database, *, most: int, lease: timedelta, hold_id: UUID | None = None, ids: Sequence[str] | None = None
) -> list[DueCopy]:
    """Up to `most` that nobody has leased, of this hold and of these detections, or of any; leased from now on."""
    parameters = {
        "most": most,
        "lease": lease,
        "hold_id": hold_id,
        "ids": None if ids is None else list(ids),
    }

    async def work(connection: AsyncConnection) -> list[DueCopy]:
        return [DueCopy(**row) for row in (await connection.execute(_LEASE, parameters)).mappings()]

    return await database.transaction(work)


async def mark_held(database: Database, verified: Sequence[DueCopy]) -> dict[Name, str]:
    """The rows name the copies from now on, for every hold of these images. Returns the state of those that are not stored any more."""
    unique = sorted({(one.detection_id, one.kind, one.copy) for one in verified})
    names = {
        "ids": [detection_id for detection_id, _, _ in unique],
        "kinds": [kind for _, kind, _ in unique],
        "keys": [key for _, _, key in unique],
    }

    async def work(connection: AsyncConnection) -> dict[Name, str]:
        rows = (await connection.execute(_LOCK, names)).all()
        await connection.execute(_POINT, names)
        await connection.execute(_HELD, names)
        return {(row.detection_id, row.kind): row.state for row in rows if row.state != "stored"}

    return await database.transaction(work)


async def put_back(database: Database, failed: Sequence[tuple[DueCopy, str, timedelta]]) -> None:
    """Let go of the leases of these, each with why and after how long it is due again."""
    if not failed:
        return
    parameters: dict[str, Any] = {
        "ids": [due.detection_id for due, _, _ in failed],
        "kinds": [due.kind for due, _, _ in failed],
        "owners": [due.lease_owner for due, _, _ in failed],
        "errors": [why for _, why, _ in failed],
        "delays": [after for _, _, after in failed],
    }
    await database.transaction(lambda connection: connection.execute(_PUT_BACK, parameters))


async def redirect(database: Database, *, most: int) -> int:
    """Held images that wait in a spool, and would go to their usual key, go to holds/; returns how many."""
    return await _count(database, _REDIRECT, {"most": most})


async def adopt(database: Database, *, most: int) -> int:
    """Images that came to held detections later are held too; returns how many."""
    return await _count(database, _ADOPT, {"most": most})


async def copies_after(database: Database, place: Name, *, most: int) -> list[HeldCopy]:
    """Verified copies that an active hold relies on, past this (detection id, kind), in that order."""
    return await _copies(database, _COPIES_AFTER, {"after_id": place[0], "after_kind": place[1], "most": most})


async def copies_to_read(database: Database, *, before: datetime, most: int) -> list[HeldCopy]:
    """Those whose bytes were read last before then, the oldest first."""
    return await _copies(database, _OLDEST, {"before": before, "most": most})


async def mark_verified(database: Database, copies: Sequence[HeldCopy]) -> None:
    """The bytes of these were read now."""
    ordered = sorted((one.detection_id, one.kind) for one in copies)
    parameters = {"ids": [detection_id for detection_id, _ in ordered], "kinds": [kind for _, kind in ordered]}
    await database.transaction(lambda connection: connection.execute(_VERIFIED, parameters))


async def mark_broken(database: Database, copy: HeldCopy, *, why: str) -> bool:
    """The copy is not good: it is due again at once, and the image goes on being held. False when nothing holds it any more."""
    parameters = {"detection_id": copy.detection_id, "kind": copy.kind, "why": why}
    done = await database.transaction(lambda connection: connection.execute(_BROKEN, parameters))
    return bool(done.rowcount)


async def is_held(database: Database, copy: HeldCopy) -> bool:
    """True when no active hold waits for a copy of this image."""
    names = {"detection_id": copy.detection_id, "kind": copy.kind}
    async with database.reading() as connection:
        return bool((await connection.execute(_IS_HELD, names)).scalar_one())


async def totals(database: Database) -> dict[str, int]:
    """Images under active holds: `held`, `copying`, and `without_copy`, those of the latter whose copy has failed."""
    async with database.reading() as connection:
        return dict((await connection.execute(_TOTALS)).mappings().one())


async def _copies(database: Database, statement: Any, parameters: dict[str, Any]) -> list[HeldCopy]:
    async with database.reading() as connection:
        return [HeldCopy(**row) for row in (await connection.execute(statement, parameters)).mappings()]


async def _count(database: Database, statement: Any, parameters: dict[str, Any]) -> int:
    done = await database.transaction(lambda connection: connection.execute(statement, parameters))
    return len(done.all())
