"""Make the variants that are asked for at ingest, of newly stored images.

Never in the way of a batch: it goes after images are stored, a few at a time, and stops for now when it is too much. What was
not made, or was taken by the bucket's rule, is made when somebody asks for it.
"""

import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import takewhile
from typing import Final

from platevault.domain.search import Position
from platevault.domain.upkeep import JobRun, Notes
from platevault.flows.darkroom import Darkroom
from platevault.flows.make_variants import Pace, make_all
from platevault.stores.job_runs import last_to_say, record_run
from platevault.stores.lacking import DETECTIONS_AT_ONCE, NewImages, new_after, newest_place

MAKE_VARIANTS: Final = "make-variants"
PLACE: Final = "place"
PACE: Final = Pace(at_once=2, tries=1)
# A detection whose image waits for the store so long is gone past: its pictures are made when somebody asks.
WAITED_FOR: Final = timedelta(minutes=10)


async def make_new(room: Darkroom, *, seconds: float = 50.0) -> int:
    """Make what is asked for at ingest, of images stored since the last run, for about so many seconds; returns how many were made.

    Where it came to is kept in the runs of the job. The first run begins with what is stored from then on.
    """
    variants = room.bench.variants.at_ingest
    last = await last_to_say(room.database, MAKE_VARIANTS, PLACE)
    place = await newest_place(room.database) if last is None else Position.parse(str(last.findings[PLACE]))
    notes, started_at, ends_at = Notes(), room.now(), time.monotonic() + seconds
    began_at: Position | None = None if last is None else place
    try:
        while variants and time.monotonic() < ends_at:
            page = await new_after(room.database, place)
            ready = _ready(page, room=room)
            await make_all([one for new in ready for one in new.images], variants, notes, room=room, pace=PACE)
            place = ready[-1].place if ready else place
            if len(ready) < DETECTIONS_AT_ONCE:
                break
    finally:
        if place != began_at:
            notes.facts[PLACE] = str(place)
            run = JobRun(
                job=MAKE_VARIANTS,
                started_at=started_at,
                ended_at=room.now(),
                dry_run=False,
                outcome="done",
                counts=dict(notes.counts),
                findings=notes.findings,
            )
            await record_run(room.database, run)
    return notes.counts["made"]


def _ready(page: Sequence[NewImages], *, room: Darkroom) -> list[NewImages]:
    """Up to the first that waits for the store, and has not done so for long."""
    return list(takewhile(lambda new: not new.waits or room.now() - new.received_at > WAITED_FOR, page))
