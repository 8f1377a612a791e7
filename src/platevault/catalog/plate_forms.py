"""Rewrite the compared forms of plates that an older version made, so that this version finds the plates."""

from typing import Final

import structlog

from platevault.catalog.sql.plate_forms import PlateForms, ReadPlate, rewrite_next
from platevault.domain.plate_readings import other_readings
from platevault.domain.plates import searchable
from platevault.infra.postgres.database import Database

log = structlog.get_logger(__name__)

COMPARE_PLATES: Final = "compare-plates"
ROWS_A_TURN: Final = 1_000
TURNS_MAX: Final = 50


async def rewrite_plate_forms(database: Database, *, rows: int = ROWS_A_TURN, turns: int = TURNS_MAX) -> int:
    """Continue through the change feed for at most `turns` transactions of `rows`. Returns the number of rows written.

    It also reads new rows, because a replica of the previous version may still write them.
    """
    written = 0
    for _ in range(turns):
        read, of_turn = await rewrite_next(database, _forms_of, most=rows)
        written += of_turn
        if read < rows:
            break
    if written:
        log.info("plates are compared in their new form", detections=written)
    return written


def _forms_of(read: ReadPlate) -> PlateForms:
    readings = other_readings(read.plate, read.candidates)
    return PlateForms(
        detection_id=read.forms.detection_id,
        plate_searchable=None if read.plate is None else searchable(read.plate),
        plate_readings=list(readings) or None,
    )
