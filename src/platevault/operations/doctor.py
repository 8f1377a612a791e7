"""Look at an installation as a whole and say what is wrong with it and how to mend it; changes nothing that lasts."""

import os
from collections.abc import Sequence
from typing import Final

from platevault.delivery.sql.nodes import seconds_since_a_worker_was_seen
from platevault.domain.errors import Unavailable
from platevault.infra.disk.local_disk import IN_MEMORY, NETWORK_FILE_SYSTEMS, file_system_of
from platevault.infra.disk.reserve import MEBI, space_at
from platevault.infra.postgres.migrations import schema_state
from platevault.jobs.service_clock import SKEW_MOST, sentence
from platevault.jobs.vault_clock import read_clocks
from platevault.operations.check_backups import check_backups
from platevault.operations.check_images import check_images
from platevault.operations.check_object_store import check_object_store
from platevault.operations.diagnosis import Finding, fine, problem, warning
from platevault.operations.installation import Installation

WORKER_SILENT_SECONDS: Final = 300.0


async def diagnose(installation: Installation) -> list[Finding]:
    """Every finding, in the order in which an operator would mend them."""
    base = await _database(installation)
    found = [*base, *_spool(installation), *await check_object_store(installation)]
    if all(finding.status == "ok" for finding in base):
        found += [*await _erasing_clock(installation), *await check_images(installation), *await _worker(installation)]
        found += await check_backups(installation)
    return found


async def _database(installation: Installation) -> Sequence[Finding]:
    try:
        state = await schema_state(installation.database)
    except Unavailable as error:
        what, _, repair = str(error).partition(": ")
        return [problem("database", what, repair or "start PostgreSQL, or correct DATABASE_URL")]
    if state.is_older:
        what = f"schema {state.current or 'none'}, this version needs {state.wanted}"
        return [fine("database", "answers"), problem("schema", what, "run `platevault migrate`")]
    return [fine("database", "answers"), fine("schema", state.current or "")]


async def _erasing_clock(installation: Installation) -> Sequence[Finding]:
    """The database's clock decides what is due; this machine's own clock is compared with it."""
    try:
        found = await read_clocks(installation.database, installation.objects)
    except Unavailable:
        return []  # another check names it
    if found.reason is not None:
        repair = "set the clocks by NTP; if the database's is right, run `platevault doctor --confirm-clock`"
        return [problem("database clock", found.reason, repair)]
    skew = installation.now() - found.database
    if abs(skew) > SKEW_MOST:
        return [problem("database clock", sentence(skew), "set the clocks by NTP: until then batches get 503")]
    return [fine("database clock", f"{abs(skew).total_seconds():.0f} seconds from this machine's")]


def _spool(installation: Installation) -> Sequence[Finding]:
    folder = installation.spool_dir
    if not folder.is_dir():
        return [
            warning(
                "spool",
                f"{folder} does not exist yet",
                "`platevault serve` makes it; check that SPOOL_DIR is what you mean",
            )
        ]
    kind = file_system_of(folder.resolve())
    if kind in NETWORK_FILE_SYSTEMS:
        return [problem("spool", f"{folder} is on a network file system ({kind})", "move SPOOL_DIR to a local disk")]
    if kind in IN_MEMORY:
        return [
            problem(
                "spool", f"{folder} is in memory ({kind}): a power cut empties it", "move SPOOL_DIR to a local disk"
            )
        ]
    if folder.stat().st_uid != os.geteuid() or not os.access(folder, os.W_OK):
        owner = folder.stat().st_uid
        what = f"{folder} belongs to user {owner} and this is user {os.geteuid()}"
        return [problem("spool", what, f"run as user {owner}, or `chown -R {os.geteuid()} {folder}`")]
    space = space_at(folder, reserve_bytes=installation.disk_reserve_bytes)
    if space.usable < installation.room_wanted:
        what = f"{space}, and a few batches want {installation.room_wanted // MEBI:,} MiB more"
        return [problem("spool", what, "free some room, move SPOOL_DIR to a larger disk, or lower DISK_RESERVE_BYTES")]
    return [fine("spool", f"{folder} on {kind or 'a local disk'}, {space}")]


async def _worker(installation: Installation) -> Sequence[Finding]:
    try:
        age = await seconds_since_a_worker_was_seen(installation.database)
    except Unavailable:
        return []  # said already
    if age is None or age > WORKER_SILENT_SECONDS:
        what = "never seen" if age is None else f"last seen {age:,.0f} seconds ago"
        return [problem("worker", what, "start `platevault worker` on the machine of the spool")]
    return [fine("worker", f"seen {age:.0f} seconds ago")]
