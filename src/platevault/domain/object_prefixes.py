"""The prefixes of a bucket, each declared once: its owner, its expiry, its place in jobs and backups, its readers.

Lifecycle rules, policies, reconcile, backups and keys take their prefixes from `PREFIXES`. Nothing is written outside it.
"""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

DERIVED_DAYS: Final = 30


class Held(Enum):
    """How a legal hold protects the objects of a prefix."""

    BY_COPY = "a verified copy under holds/"
    AS_COPY = "is that copy, and no rule may match it"
    NOT = "not at all: the objects can be made or sent again, or are no images"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketExpiry:
    """The bucket's own deletion: after `days`, or after the longest retention class where `days` is None."""

    days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectPrefix:
    """One prefix: `name` with its slash, `{kind}/` for the kinds of image that are not known in advance.

    `owner`: the table whose rows know the objects, None where no row does.
    `expiry`: the rule of the bucket, None where it has none. `kept_because`: why no rule of any author may match.
    `reconciled`: an object without a row is set aside. `scrubbed`: its bytes are hashed again. `backed_up`: a backup has it.
    `viewable`: a presigned URL may lead to it.
    """

    name: str
    owner: str | None
    expiry: BucketExpiry | None = None
    kept_because: str | None = None
    reconciled: bool = False
    scrubbed: bool = False
    backed_up: bool = True
    held: Held = Held.NOT
    viewable: bool = True

    @property
    def folder(self) -> str:
        """The name without its slash."""
        return self.name.removesuffix("/")

    @property
    def rule_id(self) -> str:
        """The id of the bucket's rule."""
        return f"expire-{self.folder}"

    @property
    def is_of_kinds(self) -> bool:
        """True where the prefix is a kind of image."""
        return self.held is Held.BY_COPY


FULL_IMAGES: Final = ObjectPrefix(
    name="full/", owner="images", expiry=BucketExpiry(), reconciled=True, scrubbed=True, held=Held.BY_COPY
)
CROP_IMAGES: Final = ObjectPrefix(
    name="crop/", owner="images", expiry=BucketExpiry(), reconciled=True, scrubbed=True, held=Held.BY_COPY
)
OTHER_IMAGES: Final = ObjectPrefix(name="{kind}/", owner="images", reconciled=True, scrubbed=True, held=Held.BY_COPY)
TEMP_UPLOADS: Final = ObjectPrefix(
    name="temp/", owner="uploads", expiry=BucketExpiry(days=1), backed_up=False, viewable=False
)
DERIVED_IMAGES: Final = ObjectPrefix(
    name="derived/", owner="images", expiry=BucketExpiry(days=DERIVED_DAYS), backed_up=False
)
HOLD_COPIES: Final = ObjectPrefix(
    name="holds/",
    owner="hold_images",
    kept_because="it can delete images under legal hold",
    scrubbed=True,
    held=Held.AS_COPY,
)
SET_ASIDE: Final = ObjectPrefix(
    name="quarantine/", owner=None, kept_because="it can delete what reconcile set aside", viewable=False
)
VAULT_MARKS: Final = ObjectPrefix(
    name="meta/", owner="generation", kept_because="it can delete the restore marker", viewable=False
)

PREFIXES: Final = (
    FULL_IMAGES,
    CROP_IMAGES,
    OTHER_IMAGES,
    TEMP_UPLOADS,
    DERIVED_IMAGES,
    HOLD_COPIES,
    SET_ASIDE,
    VAULT_MARKS,
)

ERASURES: Final = f"{VAULT_MARKS.name}erasures/"
"""Records of erasures on request, one object each. They are under `meta/`: no rule expires them, and each backup has them."""
ERASURES_UNKNOWN: Final = f"{VAULT_MARKS.name}erasures-unknown"
"""Exists in a bucket that was filled from a backup: it has no records of erasures since then."""
BACKUP_NAMES: Final = f"{VAULT_MARKS.name}backup-names"
"""A random secret that names the objects of encrypted backups, so that later backups find them."""

_BY_FOLDER: Final = {prefix.folder: prefix for prefix in PREFIXES if prefix is not OTHER_IMAGES}
_KIND: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")


def prefix_of(key: str) -> ObjectPrefix | None:
    """Return the prefix that the key is under; None for a key outside of the table."""
    folder, slash, rest = key.partition("/")
    if not slash or not rest:
        return None
    known = _BY_FOLDER.get(folder)
    return known or (OTHER_IMAGES if _KIND.fullmatch(folder) else None)
