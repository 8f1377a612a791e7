"""All guards, in the order of a detection's way: disk, rows, uploads, what is stuck, upkeep, retention, connections, doors, delivery,
values, clocks, answers, backups.

To add one, write a `Guard` in the file of its place, run `make mutants MUTANTS="--only its-name"`, and see it red.
"""

from typing import Final

from tests.mutants import (
    guards_of_answers,
    guards_of_backups,
    guards_of_clocks,
    guards_of_connections,
    guards_of_delivery,
    guards_of_disk,
    guards_of_doors,
    guards_of_retention,
    guards_of_rows,
    guards_of_the_stuck,
    guards_of_upkeep,
    guards_of_uploads,
    guards_of_values,
)
from tests.mutants.guard import Guard

GUARDS: Final[tuple[Guard, ...]] = (
    *guards_of_disk.GUARDS,
    *guards_of_rows.GUARDS,
    *guards_of_uploads.GUARDS,
    *guards_of_the_stuck.GUARDS,
    *guards_of_upkeep.GUARDS,
    *guards_of_retention.GUARDS,
    *guards_of_connections.GUARDS,
    *guards_of_doors.GUARDS,
    *guards_of_delivery.GUARDS,
    *guards_of_values.GUARDS,
    *guards_of_clocks.GUARDS,
    *guards_of_answers.GUARDS,
    *guards_of_backups.GUARDS,
)
