"""What an image object says of itself in its user metadata, so that rows can be rebuilt from the bucket alone."""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote, unquote

from platevault.domain.errors import InvalidRequest

METADATA_MAX_BYTES = 2048
"""S3 takes no more than this in names and values together."""

_ENCODED = "="
"""Starts a value in base64: a percent-encoded value never holds this character."""
_AS_IT_IS = re.compile(r"[A-Za-z0-9_.~:+-]*").fullmatch


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldMark:
    """The legal hold that a copy was made for."""

    hold_id: str
    case: str
    review_date: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMetadata:
    """What travels with an image. `retain_until` is None when its class never ends; `hold` is set on a hold copy only."""

    detection_id: str
    collector_id: str
    captured_at: datetime
    camera_id: str
    batch_id: str
    retain_until: datetime | None
    sha256: str
    hold: HoldMark | None = None


def encode_metadata(image: ImageMetadata) -> dict[str, str]:
    """Names and values of x-amz-meta-*, all ASCII, since servers disagree about everything else.

    Raises `InvalidRequest` when they are more than any S3 server takes.
    """
    texts = {
        "detection-id": image.detection_id,
        "collector-id": image.collector_id,
        "captured-at": image.captured_at.isoformat(),
        "camera-id": image.camera_id,
        "batch-id": image.batch_id,
        "sha256": image.sha256,
    }
    if image.retain_until is not None:
        texts["retain-until"] = image.retain_until.isoformat()
    if image.hold is not None:
        texts |= {"hold-id": image.hold.hold_id, "case": image.hold.case}
        if image.hold.review_date is not None:
            texts["review-date"] = image.hold.review_date.isoformat()
    values = {name: _to_ascii(text) for name, text in texts.items()}
    if sum(len(name) + len(value) for name, value in values.items()) > METADATA_MAX_BYTES:
        raise InvalidRequest(f"the ids, camera and case of one image take more than {METADATA_MAX_BYTES} bytes")
    return values


def decode_metadata(values: Mapping[str, str]) -> ImageMetadata | None:
    """The inverse of `encode_metadata`; None for an object that does not carry all of it."""
    try:
        texts = {name: _from_ascii(value) for name, value in values.items()}
        retain_until, review_date = texts.get("retain-until"), texts.get("review-date")
        hold = None
        if "hold-id" in texts:
            hold = HoldMark(
                hold_id=texts["hold-id"],
                case=texts["case"],
                review_date=None if review_date is None else date.fromisoformat(review_date),
            )
        return ImageMetadata(
            detection_id=texts["detection-id"],
            collector_id=texts["collector-id"],
            captured_at=datetime.fromisoformat(texts["captured-at"]),
            camera_id=texts["camera-id"],
            batch_id=texts["batch-id"],
            retain_until=None if retain_until is None else datetime.fromisoformat(retain_until),
            sha256=texts["sha256"],
            hold=hold,
        )
    except (KeyError, ValueError):
        return None


def _to_ascii(text: str) -> str:
    if _AS_IT_IS(text):
        return text
    # A space is encoded too: headers are trimmed, and signing folds runs of spaces.
    percent = quote(text, safe=":+")
    encoded = _ENCODED + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    # Percent-encoding is what people can read; a long name in another script would take three times its bytes.
    return percent if len(percent) <= max(len(encoded), 3 * 64) else encoded


def _from_ascii(value: str) -> str:
    if not value.startswith(_ENCODED):
        return unquote(value, errors="strict")
    body = value.removeprefix(_ENCODED)
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True).decode()
    except binascii.Error as error:
        raise ValueError("not base64") from error
