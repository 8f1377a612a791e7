"""Confirm a restore after the erasures of the bucket were done again."""

from platevault.domain.errors import Stopped
from platevault.domain.object_prefixes import ERASURES_UNKNOWN
from platevault.jobs.report import RestoreMarker
from platevault.jobs.restore_marker import confirm_restore, marker
from platevault.jobs.run import JobContext
from platevault.retention.erasures.compare import Compared, do_erasures_again, unknown_since


async def confirm_after_erasures(
    context: JobContext, *, accept_unknown: bool = False
) -> tuple[RestoreMarker, Compared]:
    """Do the erasures of the bucket again, then confirm the restore. A crash in between is followed by the same again.

    Raises `Stopped` if erasures may be missing in the bucket, unless `accept_unknown`, and if holds keep what was erased.
    """
    found = await marker(database=context.database, objects=context.objects)
    compared = Compared() if found.is_of_another_vault else await do_erasures_again(context)
    since = await unknown_since(context.objects)
    is_unknown = since is not None or (found.lags and found.bucket is None)
    if compared.why_closed is not None and not (is_unknown and accept_unknown):
        raise Stopped(compared.why_closed)
    confirmed = await confirm_restore(context)
    if since is not None:
        await context.objects.delete(ERASURES_UNKNOWN)
    return confirmed, compared
