"""How a page shows an image: where it is, how large, and where to ask when that fails."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from platevault.catalog.links import image_path
from platevault.domain.images import ImageState
from platevault.domain.reported_fields import REPORTED_NAMES
from platevault.domain.search_results import FoundDetection, FoundImage

THUMB: Final = "thumb"
_MAKE_THUMB: Final = f"/derived?variant={THUMB}"
_CHECKED: Final = "?check=true"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageView:
    """What an <img> needs. `again` is the service's own path, which leads to a fresh URL or draws what became of the image."""

    url: str
    again: str
    width: int | None
    height: int | None


def image_view(detection: FoundDetection, kind: str, *, small: bool = False) -> ImageView | None:
    """The picture, `small` for a list; None when there is nothing to show, as its state says.

    What is small and not made yet is made when it is asked for. A crop that no collector sent is cut out of the scene.
    """
    path = image_path(detection.detection_id, kind)
    image = detection.images.get(kind)
    if image is None or image.url is None:
        return _derived(detection, kind)
    again = path + _CHECKED
    if not small or image.state is not ImageState.STORED:
        return ImageView(url=image.url, again=again, width=image.width, height=image.height)
    thumb = (image.variants or {}).get(THUMB)
    if thumb is None or thumb.url is None:
        return ImageView(url=path + _MAKE_THUMB, again=again, width=image.width, height=image.height)
    return ImageView(url=thumb.url, again=again, width=thumb.width, height=thumb.height)


def _derived(detection: FoundDetection, kind: str) -> ImageView | None:
    derivable = {} if detection.derivable is msgspec.UNSET else detection.derivable
    if kind not in derivable:
        return None
    again = f"{derivable[kind].url}?variant={THUMB}&check=true"
    thumb = derivable[kind].variants.get(THUMB)
    if thumb is None or thumb.url is None:
        return ImageView(url=derivable[kind].url + "?variant=" + THUMB, again=again, width=None, height=None)
    return ImageView(url=thumb.url, again=again, width=thumb.width, height=thumb.height)


def vehicle_of(detection: FoundDetection) -> str:
    """What is known of the vehicle, in a few words; empty when nothing is."""
    vehicle: dict[str, Any] = {} if detection.vehicle is None else msgspec.json.decode(detection.vehicle)
    return " ".join(str(vehicle[name]) for name in ("color", "make", "model", "type", "year") if vehicle.get(name))


def _blank_image() -> FoundImage:
    return FoundImage(state=ImageState.STORED, url="/")


_BLANK_FIELDS: Final[dict[str, Any]] = dict.fromkeys(REPORTED_NAMES) | {"plate": " ", "confidence": 1.0}
# What the script fills in for a detection that comes while the page is open.
BLANK: Final = FoundDetection(
    detection_id="",
    captured_at=datetime.fromtimestamp(0, UTC),
    received_at=datetime.fromtimestamp(0, UTC),
    camera_id="",
    collector_id="",
    batch_id="",
    **_BLANK_FIELDS,
    held=True,
    retain_until=None,
    clock_suspect=True,
    erased_at=None,
    images={"full": _blank_image(), "crop": _blank_image()},
)
