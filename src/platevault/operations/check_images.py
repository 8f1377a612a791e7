"""Images that need an operator: missing ones, dead letters, and a database that is older than its bucket."""

from collections.abc import Sequence

from platevault.delivery.sql.lost_images import in_trouble
from platevault.domain.errors import Unavailable
from platevault.jobs.restore_marker import marker
from platevault.operations.diagnosis import Finding, fine, problem, warning
from platevault.operations.installation import Installation


async def check_images(installation: Installation) -> Sequence[Finding]:
    """What stands in the rows, and what the restore marker tells; a store that does not answer was said already."""
    found = []
    try:
        missing, dead = await in_trouble(installation.database)
        found += [_missing(missing), _dead(dead)]
        numbers = await marker(database=installation.database, objects=installation.objects)
    except Unavailable:
        return found
    if numbers.reason is not None:
        what, _, fix = numbers.reason.partition(". ")
        numbered = f"{what} (database {numbers.database}, bucket {numbers.bucket})"
        return [*found, problem("restore marker", numbered, fix)]
    return [*found, fine("restore marker", f"{numbers.database}")]


def _missing(number: int) -> Finding:
    if not number:
        return fine("missing images", "none")
    return warning("missing images", f"{number:,} at least", "their collectors send again what GET /v1/resend lists")


def _dead(number: int) -> Finding:
    if not number:
        return fine("dead letters", "none")
    return warning("dead letters", f"{number:,} at least", "`platevault spool list` on each node says which, and why")
