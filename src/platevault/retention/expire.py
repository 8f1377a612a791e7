"""Make tombstones of what is due, some hundred at a time, and leave a record of it.

Rows, then the record, which is made from those very rows. A crash in between leaves tombstones without a record; the next run makes
it. Nothing is erased while the restore marker says that the database is an older one, for that one may not know a hold. Where the
marker cannot be read it is not known, and what is due waits. What is due is decided by the database's clock. In any 24 hours all runs
together erase at most 10 % of the living detections or 10,000, whichever is more.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from platevault.domain.crash_points import reached
from platevault.domain.errors import Stopped, StoreUnavailable
from platevault.jobs.report import SWEEP, Notes
from platevault.jobs.restore_marker import refuse_while_it_lags
from platevault.jobs.run import JobContext
from platevault.jobs.sql.runs import last_done
from platevault.retention.erasure_cap import ErasureCap
from platevault.retention.sql.purge_records import own_moment, record_purges
from platevault.retention.sql.tombstones import count_held_back, erase_due

log = structlog.get_logger(__name__)

# Clocks of workers may differ; all of it is looked through by an index.
LOOK_BACK: Final = timedelta(days=1)
TOMBSTONES_FOR: Final = timedelta(days=400)
CAPPED: Final = "capped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """How much at once, and how much in one run."""

    size: int = 500
    most: int = 200


async def expire_due(context: JobContext, notes: Notes, *, batches: Batches, now: datetime) -> bool:
    """Erase what is due at `now` and nobody holds; False when the run reached its limit before all of it.

    At the limit of 24 hours it ends, and notes `capped` with the reason. Raises `Stopped` while the restore marker lags, or cannot be read.
    """
    cap = ErasureCap(database=context.database, now=now)
    moment = await own_moment(context.database, now=now)
    place: tuple[datetime, str] | None = None
    finished = False
    notes.counts.update({"erased": 0, "images": 0, "bytes": 0})
    try:
        for _ in range(batches.most):
            await look_at_marker(context)
            most = await cap.room(batches.size)
            if not most:
                finished = True
                notes.facts.update(await cap.reached(CAPPED))
                break
            done, ended = await erase_due(context.database, now=now, moment=moment, after=place, most=most)
            if ended is None:
                finished = True
                break
            notes.counts.update({"erased": len(done.ids), "images": done.images, "bytes": done.bytes})
            place = ended
            reached("rows-erased")
        notes.counts["held"] = await count_held_back(context.database, now=now)
    finally:
        await _record(context, notes, moment=moment)
    return finished


async def look_at_marker(context: JobContext) -> None:
    """Raise `Stopped` unless database and bucket are known to agree."""
    try:
        await refuse_while_it_lags(context)
    except StoreUnavailable as error:
        raise Stopped(f"the restore marker cannot be read, so nothing is erased until the next run: {error}") from error


async def _record(context: JobContext, notes: Notes, *, moment: datetime) -> None:
    before = await last_done(context.database, SWEEP)
    made = await record_purges(
        context.database,
        since=moment - TOMBSTONES_FOR if before is None else before.started_at - LOOK_BACK,
        started_at=moment,
        ended_at=await context.time(),
        held=notes.counts.get("held"),
    )
    for purge in made:
        log.info(
            "purged",
            cause=purge.cause,
            detections=purge.detections,
            images=purge.images,
            bytes=purge.image_bytes,
            held=purge.held,
            ids_sha256=purge.ids_digest.hex(),
        )
    late = [purge for purge in made if purge.started_at != moment]
    if late:
        notes.facts["recorded late"] = [purge.started_at.isoformat() for purge in late]
