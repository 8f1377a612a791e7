"""The context of backup and restore, and the choice of parts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.backup.keys import NO_KEYS, Keys
from platevault.jobs.run import JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupContext:
    """Database and bucket of a vault, and the spool of this node, to back up or restore.

    `disk_reserve_bytes` of each local disk stay free. `embedded`: the servers keep their data on the disk of the spool.
    """

    job_context: JobContext
    database_url: str
    spool_dir: Path
    disk_reserve_bytes: int | None = None
    embedded: bool = False
    keys: Keys = NO_KEYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of a backup. `dump` is a dump that was made elsewhere, before the rest of the backup."""

    database: bool = True
    spool: bool = True
    bucket: bool = True
    dump: Path | None = None


EVERYTHING: Final = Parts()
