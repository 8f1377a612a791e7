"""What a backup is of: the database and the bucket of a vault, and the spool of this node."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from platevault.jobs.run import JobContext


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupContext:
    """What is backed up and restored: the database and the bucket of a vault, the spool of this node."""

    job_context: JobContext
    database_url: str
    spool_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Which parts. `dump` is one that was made elsewhere, before anything else of this backup."""

    database: bool = True
    spool: bool = True
    bucket: bool = True
    dump: Path | None = None


EVERYTHING: Final = Parts()
