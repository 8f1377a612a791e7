"""A direct upload: the files that a collector may put into the store itself, and what became of them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from platevault.domain.batch import DIGEST_FORM, Limits
from platevault.domain.errors import CommittedOtherwise, InvalidRequest, TooLarge, UploadEnded
from platevault.domain.images import content_type_of, jpeg_dimensions
from platevault.domain.object_keys import DETECTION_ID, IMAGE_KIND, TEMP, part_name
from platevault.formats.delivery import Part
from platevault.formats.native import Manifest

PUT_WITHIN: Final = timedelta(hours=1)
"""How long the URLs are good for, at most."""
COMMIT_WITHIN: Final = timedelta(hours=2)
"""Longer than its URLs: nothing can be put any more when an upload expires, and what was put is removed once."""
FILES_A_DETECTION_MAX: Final = 16

OPEN: Final = "open"
COMMITTED: Final = "committed"
EXPIRED: Final = "expired"

_NAME: Final = re.compile(f"{DETECTION_ID.pattern}_{IMAGE_KIND.pattern}")
_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")
_JPEG: Final = "image/jpeg"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedFile:
    """One file: the name of its part, and what exactly may be put. `sha256` in hex, lower case."""

    name: str
    size: int
    sha256: str
    content_type: str = _JPEG


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A direct upload as it was recorded. The last four are there once it is committed."""

    upload_id: UUID
    collector_id: str
    opened_at: datetime
    expires_at: datetime
    state: str
    files: tuple[OfferedFile, ...]
    content_digest: bytes | None = None
    digest_form: int = DIGEST_FORM
    status_code: int | None = None
    answer: Mapping[str, Any] | None = None

    def state_at(self, now: datetime) -> str:
        """`open`, `committed`, `aborted` or `expired`."""
        return EXPIRED if self.state == OPEN and now >= self.expires_at else self.state

    def must_be_open(self, now: datetime) -> None:
        """Raise `UploadEnded`, saying how, when it is not."""
        state = self.state_at(now)
        if state == EXPIRED:
            raise UploadEnded(f"the upload expired at {self.expires_at:%Y-%m-%dT%H:%M:%SZ}: open another one")
        if state != OPEN:
            raise UploadEnded(f"the upload is {state}: open another one")

    def file_of(self, detection_id: str, kind: str) -> OfferedFile:
        """The file that carries this image, which was offered."""
        name = part_name(detection_id, kind)
        return next(file for file in self.files if file.name == name)

    def declared(self, manifest: Manifest) -> tuple[OfferedFile, ...]:
        """Those of the files that the manifest declares."""
        names = manifest.declared_parts()
        return tuple(file for file in self.files if file.name in names)

    def digest_of(self, manifest: Manifest) -> bytes:
        """Content digest of the manifest with the offered files; costs no look at the bytes."""
        return manifest.content_digest(
            [
                Part(name=file.name, offset=0, size=file.size, sha256=bytes.fromhex(file.sha256))
                for file in self.declared(manifest)
            ],
            form=self.digest_form if self.state == COMMITTED else DIGEST_FORM,
        )

    def must_be_of(self, digest: bytes) -> None:
        """Raise `CommittedOtherwise` unless the batch with this content digest is the one that was committed."""
        first = self.content_digest or b""
        if digest != first:
            raise CommittedOtherwise(
                "the upload was committed with other content", first_digest=first.hex(), this_digest=digest.hex()
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Uploads that are open, or were aborted with URLs that are still good: of a collector, of an actor, and all."""

    of_collector: int
    of_actor: int
    of_all: int


def temp_key(upload_id: UUID, name: str = "") -> str:
    """Where a file of the upload is put; without a name, what the keys of all of them begin with."""
    return f"{TEMP}{upload_id}/{name}"


def upload_id_of(key: str) -> UUID | None:
    """The inverse; None for a key that no upload has."""
    try:
        return UUID(key.removeprefix(TEMP).partition("/")[0]) if key.startswith(TEMP) else None
    except ValueError:
        return None


def check_offer(files: Sequence[OfferedFile], *, limits: Limits) -> None:
    """Raise `InvalidRequest` or `TooLarge`, naming the file, for what could not be committed either."""
    most = limits.max_batch_detections * FILES_A_DETECTION_MAX
    if len(files) > most:
        raise TooLarge(f"at most {most} files in an upload")
    seen: set[str] = set()
    for file in files:
        _check_file(file, limits=limits)
        if file.name in seen:
            raise InvalidRequest(f"{file.name} occurs twice in this upload")
        seen.add(file.name)
    if sum(file.size for file in files) > limits.max_batch_bytes:
        raise TooLarge(f"the files of an upload have at most {limits.max_batch_bytes} bytes")


def part_of(file: OfferedFile, data: bytes) -> Part:
    """What the bytes are, which have the size and digest that were offered."""
    content_type = content_type_of(data)
    found = jpeg_dimensions(data) if content_type == _JPEG else None
    return Part(
        name=file.name,
        offset=0,
        size=file.size,
        sha256=bytes.fromhex(file.sha256),
        content_type=content_type,
        width=found.width if found else None,
        height=found.height if found else None,
    )


def _check_file(file: OfferedFile, *, limits: Limits) -> None:
    if _NAME.fullmatch(file.name) is None:
        raise InvalidRequest("files.name: {detection_id}_{kind}, as the parts of a batch are named")
    if file.size < 1:
        raise InvalidRequest(f"{file.name}: size: at least 1 byte")
    if file.size > limits.max_image_bytes:
        raise TooLarge(f"an image has at most {limits.max_image_bytes} bytes", part=file.name)
    if _DIGEST.fullmatch(file.sha256) is None:
        raise InvalidRequest(f"{file.name}: sha256: 64 hexadecimal digits")
    if file.content_type not in limits.image_types:
        raise InvalidRequest(f"{file.name}: content_type: one of " + ", ".join(sorted(limits.image_types)))
