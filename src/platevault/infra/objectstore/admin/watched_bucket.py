"""A bucket together with the configuration that it should have."""

from collections.abc import Sequence
from dataclasses import dataclass

from platevault.infra.objectstore.admin.bucket import BucketAdmin
from platevault.infra.objectstore.admin.lifecycle import OuterBound


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedBucket:
    """A bucket, and what it is held against again and again."""

    admin: BucketAdmin
    bound: OuterBound
    cors_origins: Sequence[str] = ()
