"""The one speller of object keys, of the ids that they are made of, and of the folders that are not for images."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from platevault.domain.errors import InvalidRequest
from platevault.domain.object_prefixes import (
    CROP_IMAGES,
    DERIVED_IMAGES,
    FULL_IMAGES,
    PREFIXES,
    TEMP_UPLOADS,
    VAULT_MARKS,
)

DETECTION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
COLLECTOR_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
BATCH_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
IMAGE_KIND = re.compile(r"[a-z][a-z0-9-]{0,31}")

FULL: Final = FULL_IMAGES.folder
CROP: Final = CROP_IMAGES.folder
CAMERAS_KINDS: Final = (FULL, CROP)
"""The kinds of image that cameras send, in the order in which they are told; there may be others."""

TEMP: Final = TEMP_UPLOADS.name
"""What somebody may put who has not committed it yet; the bucket deletes it after a day."""
DERIVED: Final = DERIVED_IMAGES.name
"""Pictures that can be made again."""
CHECK_KEY: Final = f"{VAULT_MARKS.name}check"
"""Put and taken away again, to see whether the bucket can be written."""

EXTENSIONS = {
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/tiff": "tiff",
}

_KEY = re.compile(
    r"(?P<kind>[a-z][a-z0-9-]{0,31})/(?P<year>[0-9]{4})/(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/"
    r"(?P<detection>[A-Za-z0-9][A-Za-z0-9._-]{0,127})_(?P<again>[a-z][a-z0-9-]{0,31})\.(?P<extension>[a-z]{3,5})",
)

RESERVED_KINDS = frozenset(prefix.folder for prefix in PREFIXES if not prefix.is_of_kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyParts:
    """What an object key says."""

    detection_id: str
    image_type: str
    captured_on: date
    extension: str


def generate_object_key(
    detection_id: str,
    captured_at: datetime,
    image_type: str,
    content_type: str = "image/jpeg",
) -> str:
    """The object key of one image: `full/2025/01/15/evt_abc123_full.jpg`.

    The date is `captured_at` in UTC; a naive time is read as UTC. Raises `InvalidRequest` for an id or kind that is not of
    its form (so that no key can leave its folder) and for a content type without an extension.
    """
    check_detection_id(detection_id)
    check_image_kind(image_type)
    if content_type not in EXTENSIONS:
        raise InvalidRequest(f"no file extension is known for content type {content_type!r}")
    moment = captured_at.replace(tzinfo=UTC) if captured_at.tzinfo is None else captured_at.astimezone(UTC)
    day = f"{moment.year:04}/{moment.month:02}/{moment.day:02}"
    return f"{image_type}/{day}/{detection_id}_{image_type}.{EXTENSIONS[content_type]}"


def parse_object_key(key: str) -> KeyParts | None:
    """The inverse of `generate_object_key`; None for a key that it cannot have made."""
    match = _KEY.fullmatch(key)
    if match is None or match["kind"] != match["again"] or match["kind"] in RESERVED_KINDS:
        return None
    if match["extension"] not in EXTENSIONS.values():
        return None
    try:
        day = date(int(match["year"]), int(match["month"]), int(match["day"]))
    except ValueError:
        return None
    return KeyParts(
        detection_id=match["detection"],
        image_type=match["kind"],
        captured_on=day,
        extension=match["extension"],
    )


def check_detection_id(text: str) -> str:
    """The id itself; raises `InvalidRequest` when it is not 1-128 of `[A-Za-z0-9._-]` with an alphanumeric first."""
    if DETECTION_ID.fullmatch(text) is None:
        raise InvalidRequest("detection_id: 1-128 of A-Z a-z 0-9 . _ - and the first one alphanumeric")
    return text


def check_image_kind(text: str) -> str:
    """The kind itself; raises `InvalidRequest` when it is not `[a-z][a-z0-9-]{0,31}` or is a reserved folder."""
    if IMAGE_KIND.fullmatch(text) is None or text in RESERVED_KINDS:
        raise InvalidRequest(
            "image kind: a lower-case letter, then up to 31 of a-z 0-9 -; not " + ", ".join(sorted(RESERVED_KINDS)),
        )
    return text


def part_name(detection_id: str, image_type: str) -> str:
    """The name of the multipart part that carries this image."""
    return f"{detection_id}_{image_type}"
