"""Legal holds as rows: placed and released in bounded transactions, listed, counted.

Everybody locks in the same order: who may place and erase (`placing`), the hold, its detections by id, their images by id and kind,
then the hold's own rows. Whoever expires or deletes waits until the hold is written down, and then until all that it names is taken
up; whoever comes first leaves it gone.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from platevault.access.actor import Look
from platevault.access.sql import access_log
from platevault.domain.errors import HoldIdReused, HoldLifted, InvalidRequest
from platevault.domain.object_prefixes import HOLD_COPIES
from platevault.holds.hold import CountedDetections, CountedImages, Hold, HoldAsked, HoldNow, HoldPlace, ImageUnderHold
from platevault.holds.sql.placement import block_erasures, next_ids
from platevault.infra.postgres.database import Database

DETECTIONS_AT_ONCE: Final = 500

_COLUMNS: Final = """
    hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, placed_all_at IS NOT NULL AS is_placed,
    lifted_at, lifted_by, lift_reason
"""
_INSERT: Final = text("""
    INSERT INTO holds (hold_id, placed_at, placed_by, requested_by, authority, "case", reason, review_on, query, newest_seq)
    SELECT :hold_id, :placed_at, :placed_by, :requested_by, :authority, :case, :reason, :review_on, CAST(:query AS jsonb),
        (SELECT coalesce(max(seq), 0) FROM detections)
    ON CONFLICT (hold_id) DO NOTHING RETURNING hold_id
""")
_FIND: Final = text(f"SELECT {_COLUMNS} FROM holds WHERE hold_id = :hold_id")  # noqa: S608  a constant list of columns
_LIST: Final = text(f"""
    SELECT {_COLUMNS} FROM holds
    WHERE CAST(:before_at AS timestamptz) IS NULL OR (placed_at, hold_id) < (:before_at, CAST(:before_id AS uuid))
    ORDER BY placed_at DESC, hold_id DESC LIMIT :most
""")  # noqa: S608  a constant list of columns
_PROGRESS: Final = text("""
    SELECT query, newest_seq, placed_through, placed_all_at IS NOT NULL OR lifted_at IS NOT NULL AS is_over
    FROM holds WHERE hold_id = :hold_id FOR UPDATE
""")
_ADVANCE: Final = text("""
    UPDATE holds SET placed_through = :through, placed_all_at = CASE WHEN :is_last THEN now() END WHERE hold_id = :hold_id
""")
_UNKNOWN: Final = text("""
    SELECT u.id FROM unnest(CAST(:ids AS text[])) AS u(id)
    WHERE NOT EXISTS (SELECT FROM detections d WHERE d.detection_id = u.id) ORDER BY u.id LIMIT 5
""")
_LOCK_DETECTIONS: Final = text("""
    SELECT FROM detections WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id FOR UPDATE
""")
_LOCK_IMAGES: Final = text("""
    SELECT FROM images WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id, kind FOR UPDATE
""")
# A tombstone stays one: it is named by the hold, and there is nothing left to count.
_HOLD_DETECTIONS: Final = text("""
    INSERT INTO hold_detections (hold_id, detection_id, released_at)
    SELECT :hold_id, detection_id, CASE WHEN erased_at IS NOT NULL THEN now() END FROM detections
    WHERE detection_id = ANY(CAST(:ids AS text[])) ORDER BY detection_id ON CONFLICT DO NOTHING
""")
# A rejected image never had bytes. One that another hold keeps has its verified copy already.
_HOLD_IMAGES: Final = text(f"""
    INSERT INTO hold_images (hold_id, detection_id, kind, state, verified_at, last_error)
    SELECT :hold_id, i.detection_id, i.kind,
        CASE WHEN i.state IN ('expired', 'deleted') THEN 'gone' WHEN o.verified_at IS NOT NULL THEN 'held' ELSE 'copying' END,
        CASE WHEN i.state = 'stored' THEN o.verified_at END,
        CASE WHEN i.state = 'missing' THEN 'its bytes are missing: it is held once its collector sends it again' END
    FROM images i LEFT JOIN LATERAL (
        SELECT max(h.verified_at) AS verified_at FROM hold_images h
        WHERE h.detection_id = i.detection_id AND h.kind = i.kind AND h.state = 'held' AND h.released_at IS NULL
            AND i.state = 'stored' AND i.key LIKE '{HOLD_COPIES.name}%'
    ) o ON true
    WHERE i.detection_id = ANY(CAST(:ids AS text[])) AND i.state <> 'rejected'
    ORDER BY i.detection_id, i.kind ON CONFLICT DO NOTHING
""")  # noqa: S608  a constant prefix
# Bytes that wait in a spool go to holds/ directly. Whoever puts them elsewhere at this moment finds its row changed, and the
# image is due again at once.
_REDIRECT: Final = text(f"""
    UPDATE images SET key = '{HOLD_COPIES.name}' || key, lease_owner = NULL, lease_until = now()
    WHERE detection_id = ANY(CAST(:ids AS text[])) AND state = 'pending' AND holds > 0 AND key NOT LIKE '{HOLD_COPIES.name}%'
""")  # noqa: S608  a constant prefix
# What a lift lets go of says the moment of the lift; a tombstone the one at which the hold came to it.
_COUNT_DETECTIONS: Final = text("""
    SELECT count(*) FILTER (WHERE d.released_at IS NULL) AS active,
        count(*) FILTER (WHERE d.released_at IS NOT NULL AND d.released_at IS DISTINCT FROM h.lifted_at) AS gone,
        count(*) FILTER (WHERE d.released_at = h.lifted_at) AS released
    FROM hold_detections d JOIN holds h USING (hold_id) WHERE d.hold_id = :hold_id
""")
_COUNT_IMAGES: Final = text("""
    SELECT count(*) FILTER (WHERE is_kept AND state = 'copying') AS copying,
        count(*) FILTER (WHERE is_kept AND state = 'held') AS held, count(*) FILTER (WHERE state = 'gone') AS gone,
        count(*) FILTER (WHERE NOT is_kept AND state <> 'gone') AS released,
        count(*) FILTER (WHERE is_kept AND state = 'copying' AND last_error IS NULL AND image_state IN ('pending', 'stored')) AS hopeful,
        count(*) FILTER (WHERE is_kept AND state = 'copying' AND image_state = 'pending') AS waiting
    FROM (SELECT h.state, h.last_error, h.released_at IS NULL AS is_kept, i.state AS image_state
          FROM hold_images h JOIN images i USING (detection_id, kind) WHERE h.hold_id = :hold_id) AS them
""")
_IMAGES: Final = text("""
    SELECT h.detection_id, h.kind, h.state, i.state AS image_state, h.verified_at, h.released_at,
        CASE WHEN h.state = 'copying' THEN coalesce(h.last_error, i.last_error) END AS reason
    FROM hold_images h JOIN images i USING (detection_id, kind)
    WHERE h.hold_id = :hold_id AND (h.detection_id, h.kind) > (:after_id, :after_kind)
        AND (CAST(:state AS text) IS NULL OR h.state = CAST(:state AS text))
    ORDER BY h.detection_id, h.kind LIMIT :most
""")
_LIFT: Final = text("""
    UPDATE holds SET lifted_at = :at, lifted_by = :by, lift_reason = :reason WHERE hold_id = :hold_id AND lifted_at IS NULL
""")
# Whom it was about is told by what it held, as long as there is something left of that: then its filter, which may name a plate, goes.
_FORGETTABLE: Final = text("""
    SELECT hold_id FROM holds WHERE lifted_at IS NOT NULL AND jsonb_exists(query, 'filter')
        AND NOT EXISTS (SELECT FROM hold_detections h JOIN detections d USING (detection_id)
                        WHERE h.hold_id = holds.hold_id AND d.erased_at IS NULL)
    ORDER BY lifted_at LIMIT :most
""")
_FORGET: Final = text("""
    UPDATE holds SET query = '{}' WHERE hold_id = ANY(CAST(:ids AS uuid[])) AND lifted_at IS NOT NULL AND query <> '{}'
""")
_ACTIVE: Final = text("""
    SELECT detection_id FROM hold_detections WHERE hold_id = :hold_id AND released_at IS NULL ORDER BY detection_id LIMIT :most
""")
_RELEASE_IMAGES: Final = text("""
    UPDATE hold_images SET released_at = h.lifted_at, lease_owner = NULL, lease_until = NULL FROM holds h
    WHERE h.hold_id = :hold_id AND h.lifted_at IS NOT NULL AND hold_images.hold_id = h.hold_id
        AND hold_images.detection_id = ANY(CAST(:ids AS text[])) AND hold_images.released_at IS NULL
""")
_RELEASE_DETECTIONS: Final = text("""
    UPDATE hold_detections SET released_at = h.lifted_at FROM holds h
    WHERE h.hold_id = :hold_id AND h.lifted_at IS NOT NULL AND hold_detections.hold_id = h.hold_id
        AND hold_detections.detection_id = ANY(CAST(:ids AS text[])) AND hold_detections.released_at IS NULL
""")
_UNFINISHED: Final = text("""
    SELECT hold_id, lifted_at IS NOT NULL AS is_lifted FROM holds
    WHERE (placed_all_at IS NULL AND lifted_at IS NULL)
        OR (lifted_at IS NOT NULL AND EXISTS (SELECT FROM hold_detections d WHERE d.hold_id = holds.hold_id AND d.released_at IS NULL))
    ORDER BY placed_at LIMIT 100
""")


async def place(database: Database, asked: HoldAsked, *, hold_id: UUID, look: Look, now: datetime) -> None:
    """The hold is written down, and who placed it in the access log, and its first detections are held; `take_up` goes on.

    The row of a filter is committed first, because each answer, also a refusal, reveals whether the filter finds anything. The same again changes nothing. Raises `HoldIdReused` when something else was asked for under that id, `HoldLifted` when it was
    lifted since, `InvalidRequest` for ids that no detection has and for a filter that finds none; nothing is held then.
    """
    if asked.filter is not None:
        noted = {"hold_id": str(hold_id), "filter": dict(asked.filter)}
        await database.transaction(partial(access_log.record, look, detection_ids=(), filters=noted))

    async def work(connection: AsyncConnection) -> None:
        await block_erasures(connection)
        if await _insert(connection, asked, hold_id=hold_id, placed_by=look.actor.subject, now=now):
            unknown = [row.id for row in await connection.execute(_UNKNOWN, {"ids": list(asked.detection_ids)})]
            if unknown:
                raise InvalidRequest(f"detection_ids: there is no detection {', '.join(unknown)}")
            if not await take_up(connection, hold_id):
                raise InvalidRequest("filter: finds no detection, so there is nothing to hold")
        else:
            first = await find_hold(connection, hold_id)
            if first is None or not first.is_what(asked):
                raise HoldIdReused(f"hold {hold_id} was placed for something else")
            refuse_lifted(first)
        if asked.filter is None:
            named = {"hold_id": str(hold_id)}
            await access_log.record(look, connection, detection_ids=asked.detection_ids, filters=named)

    await database.transaction(work)


def refuse_lifted(hold: Hold) -> None:
    """Raise `HoldLifted` for a hold that was."""
    if hold.lifted_at is not None:
        raise HoldLifted(
            f"hold {hold.hold_id} was lifted at {hold.lifted_at.isoformat()}: place another, under an id of its own"
        )


async def go_on_taking(database: Database, hold_id: UUID) -> bool:
    """One more transaction of `take_up`; True when more may follow."""
    return await database.transaction(lambda connection: take_up(connection, hold_id)) is not None


async def take_up(connection: AsyncConnection, hold_id: UUID) -> int | None:
    """Hold the next detections of this hold's query; returns how many, None when all of them were held before.

    Once the transaction commits nothing expires or deletes them; until all are taken up nothing erases anything (`placing`). The query
    sees only what was there when the hold was placed.
    """
    found = (await connection.execute(_PROGRESS, {"hold_id": hold_id})).mappings().one()
    if found["is_over"]:
        return None
    ids, through = await next_ids(connection, found, most=DETECTIONS_AT_ONCE)
    if ids:
        await _hold(connection, hold_id, sorted(ids))
    is_last = len(ids) < DETECTIONS_AT_ONCE
    await connection.execute(_ADVANCE, {"hold_id": hold_id, "through": through, "is_last": is_last})
    return len(ids)


async def _insert(
    connection: AsyncConnection, asked: HoldAsked, *, hold_id: UUID, placed_by: str, now: datetime
) -> bool:
    """True when the hold is new. It waits for whoever inserts the same id at this moment."""
    parameters = {
        "hold_id": hold_id,
        "placed_at": now,
        "placed_by": placed_by,
        "requested_by": asked.requested_by,
        "authority": asked.authority,
        "case": asked.case,
        "reason": asked.reason,
        "review_on": asked.review_on,
        "query": json.dumps(asked.query),
    }
    return (await connection.execute(_INSERT, parameters)).first() is not None


async def find_hold(connection: AsyncConnection, hold_id: UUID) -> Hold | None:
    found = (await connection.execute(_FIND, {"hold_id": hold_id})).mappings().one_or_none()
    return None if found is None else Hold(**found)


async def hold_now(database: Database, hold_id: UUID) -> HoldNow | None:
    """The hold, and what it has come to; None where there is none."""
    async with database.reading() as connection:
        return await find_hold_now(connection, hold_id)


async def find_hold_now(connection: AsyncConnection, hold_id: UUID) -> HoldNow | None:
    """`hold_now`, in the transaction of whoever writes down that it is shown."""
    hold = await find_hold(connection, hold_id)
    if hold is None:
        return None
    of_it = {"hold_id": hold_id}
    return HoldNow(
        hold=hold,
        detections=CountedDetections(**(await connection.execute(_COUNT_DETECTIONS, of_it)).mappings().one()),
        images=CountedImages(**(await connection.execute(_COUNT_IMAGES, of_it)).mappings().one()),
    )


async def list_holds(database: Database, *, look: Look, before: HoldPlace | None, most: int) -> list[Hold]:
    """Return holds placed before that one, newest first, and record the look with their ids."""
    parameters = {
        "before_at": None if before is None else before.placed_at,
        "before_id": None if before is None else before.hold_id,
        "most": most,
    }

    async def work(connection: AsyncConnection) -> list[Hold]:
        found = [Hold(**row) for row in (await connection.execute(_LIST, parameters)).mappings()]
        named = {"hold_ids": [str(hold.hold_id) for hold in found]}
        await access_log.record(look, connection, detection_ids=(), filters=named)
        return found

    return await database.transaction(work)


async def images_of_hold(
    connection: AsyncConnection, *, hold_id: UUID, after: tuple[str, str], state: str | None, most: int
) -> list[ImageUnderHold] | None:
    """Images of this hold past this (detection id, kind), in that order; None as `state` means any, as an answer: no such hold."""
    if await find_hold(connection, hold_id) is None:
        return None
    parameters = {"hold_id": hold_id, "after_id": after[0], "after_kind": after[1], "state": state, "most": most}
    return [ImageUnderHold(**row) for row in (await connection.execute(_IMAGES, parameters)).mappings()]


async def lift(database: Database, hold_id: UUID, *, reason: str, look: Look, now: datetime) -> bool:
    """Write down who lifts the hold and why, also in the access log; False when it is lifted already or there is none.

    `release` lets its detections go.
    """
    parameters = {"hold_id": hold_id, "by": look.actor.subject, "reason": reason, "at": now}

    async def work(connection: AsyncConnection) -> bool:
        done = await connection.execute(_LIFT, parameters)
        if done.rowcount or await find_hold(connection, hold_id) is not None:
            await access_log.record(look, connection, detection_ids=(), filters={"hold_id": str(hold_id)})
        return bool(done.rowcount)

    return await database.transaction(work)


async def forgettable(database: Database, *, most: int) -> list[UUID]:
    """Lifted holds that still have their filter although nothing is left of what they named."""
    async with database.reading() as connection:
        return [row.hold_id for row in await connection.execute(_FORGETTABLE, {"most": most})]


async def forget_filters(database: Database, ids: Sequence[UUID]) -> int:
    """Erase the filters of these; returns of how many. The database refuses it while there is a detection left."""
    done = await database.transaction(lambda connection: connection.execute(_FORGET, {"ids": list(ids)}))
    return int(done.rowcount)


async def release(database: Database, hold_id: UUID) -> int:
    """Let the next detections of a lifted hold go; returns how many, 0 when all are, or when it is not lifted."""

    async def work(connection: AsyncConnection) -> int:
        # Whoever still takes up detections for it has ended, or sees that it is lifted.
        if (await connection.execute(_PROGRESS, {"hold_id": hold_id})).first() is None:
            return 0
        rows = await connection.execute(_ACTIVE, {"hold_id": hold_id, "most": DETECTIONS_AT_ONCE})
        names = {"hold_id": hold_id, "ids": [row.detection_id for row in rows]}
        await connection.execute(_LOCK_DETECTIONS, {"ids": names["ids"]})
        await connection.execute(_LOCK_IMAGES, {"ids": names["ids"]})
        await connection.execute(_RELEASE_IMAGES, names)
        return int((await connection.execute(_RELEASE_DETECTIONS, names)).rowcount)

    return await database.transaction(work)


async def unfinished(database: Database) -> list[tuple[UUID, bool]]:
    """(hold id, whether it is lifted) of holds whose detections are not all taken up, or not all let go, the oldest first."""
    async with database.reading() as connection:
        return [(row.hold_id, row.is_lifted) for row in await connection.execute(_UNFINISHED)]


async def _hold(connection: AsyncConnection, hold_id: UUID, ids: Sequence[str]) -> None:
    names: dict[str, Any] = {"ids": list(ids)}
    # Each a statement of its own: it sees what was committed while the one before waited for its locks.
    await connection.execute(_LOCK_DETECTIONS, names)
    await connection.execute(_LOCK_IMAGES, names)
    await connection.execute(_HOLD_DETECTIONS, {**names, "hold_id": hold_id})
    await connection.execute(_HOLD_IMAGES, {**names, "hold_id": hold_id})
    await connection.execute(_REDIRECT, names)
