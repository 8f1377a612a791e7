"""An installation, as `doctor` looks at it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from platevault.infra.objectstore import ObjectStore, UrlSigner
from platevault.infra.postgres.database import Database
from platevault.provisioning.bucket import BucketReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The installation. `store_url` is None and `presigner` may be None where there is no S3; `bucket_report` looks at the bucket."""

    database: Database
    objects: ObjectStore
    signer: UrlSigner
    presigner: ObjectStore | None
    bucket_report: Callable[[], Awaitable[BucketReport]] | None
    store_url: str | None
    spool_dir: Path
    room_wanted: int
    canary_key: str
    now: Callable[[], datetime]
    disk_reserve_bytes: int | None = None
    retention_days: int = 365
    backup_dir: Path | None = None
    backup_grace_days: int = 35
