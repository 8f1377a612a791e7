"""Erase the plates of erased detections from the texts that quote them: access log, lifted holds, ended deletions."""

import structlog

from platevault.jobs.run import JobContext
from platevault.retention.erasures.sql import texts

log = structlog.get_logger(__name__)


async def erase_plates_from_texts(context: JobContext) -> int:
    """Return the number of rows that lost a plate. A run that is cut off is done again from its start.

    A text keeps a plate while another detection has it, or an open hold keeps one that has it.
    """
    plates = await texts.plates_to_erase(context.database)
    if not plates:
        return 0
    changed, place = 0, 0
    while True:
        rows, after = await texts.erase_from_log(context.database, after=place)
        changed += rows
        if after is None:
            break
        place = after
    changed += await texts.erase_from_others(context.database, plates)
    log.info("plates erased from texts", rows=changed)
    return changed
