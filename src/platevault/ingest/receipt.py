"""The answer to a batch: what was decided once, and the states of now laid over it."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from platevault.delivery.pending_image import PendingImage
from platevault.domain.images import ImageState
from platevault.formats.batch import Refused
from platevault.ingest.verdict import Incoming, IncomingImage, Judged, Known, KnownImage, Meeting

# The order in which people read them; the database keeps none.
_ENTRY_FIELDS: Final = ("detection_id", "status", "clock_suspect", "differs", "reasons", "ignored")
_IMAGE_FIELDS: Final = ("key", "sha256", "size", "reason")


Name = tuple[str | None, tuple[str, ...]]
"""Id of a detection in an answer, and its reasons, which distinguish detections without an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What the collector is told. `status_code` is 201 when anything was created, else 200."""

    status_code: int
    body: Mapping[str, Any]
    replayed: bool

    @property
    def durable_in_store(self) -> bool:
        return bool(self.body["durability"] == "stored")

    @property
    def detection_ids(self) -> list[str]:
        """Of all detections that it tells of."""
        return [entry["detection_id"] for entry in self.body["detections"] if entry["detection_id"] is not None]

    @property
    def names(self) -> list[Name]:
        """The name of each detection, in the order of the answer."""
        return [_name_of(entry) for entry in self.body["detections"]]

    def with_body(self, body: Mapping[str, Any]) -> "Receipt":
        """Return the receipt with a later body of the same batch, in the order of this one."""
        return replace(self, body=body).in_order_of(self.names)

    def in_order_of(self, names: Sequence[Name]) -> "Receipt":
        """Return the receipt with its detections in the order of these names.

        A retry may have another order than the first try, and older versions recorded answers in the order of ids.
        """
        if self.names == names:
            return self
        places: dict[Name, deque[int]] = {}
        for place, name in enumerate(names):
            places.setdefault(name, deque()).append(place)
        by_id = {name[0]: place for place, name in enumerate(names)}

        def place_of(entry: Mapping[str, Any]) -> int:
            # Another version may have recorded other reasons.
            found = places.get(_name_of(entry))
            return found.popleft() if found else by_id.get(entry["detection_id"], len(names))

        return replace(self, body={**self.body, "detections": sorted(self.body["detections"], key=place_of)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A receipt, and the images of its batch that wait in the spool for their upload."""

    receipt: Receipt
    waiting: tuple[PendingImage, ...]


def created(incoming: Incoming) -> dict[str, Any]:
    """The entry of a new detection."""
    doubt = {"clock_suspect": True} if incoming.clock_suspect else {}
    return {
        "detection_id": incoming.detection.detection_id,
        "status": "created",
        **doubt,
        **_left_out(incoming),
        "images": {image.kind: _decided(image) for image in incoming.images},
    }


def met(incoming: Incoming, known: Known, meeting: Meeting) -> dict[str, Any]:
    """The entry of a detection that was there already."""
    taken = {image.kind for image in (*meeting.revived, *meeting.added)}
    entry: dict[str, Any] = {"detection_id": incoming.detection.detection_id, "status": meeting.status}
    if meeting.differs:
        entry["differs"] = list(meeting.differs)
    entry |= _left_out(incoming)
    entry["images"] = {
        image.kind: _decided(image) if image.kind in taken else _first(known.images.get(image.kind), image)
        for image in incoming.images
    }
    return entry


def refused(one: Refused) -> dict[str, Any]:
    """The entry of a detection that is invalid in itself."""
    return {"detection_id": one.detection_id, "status": "refused", "reasons": list(one.reasons), "images": {}}


def names_of(judged: Judged) -> list[Name]:
    """Return the names of the detections of a batch, as they were sent."""
    return [
        (one.detection_id, one.reasons) if isinstance(one, Refused) else (one.detection.detection_id, ())
        for one in judged.in_order
    ]


def with_states(answer: Mapping[str, Any], states: Mapping[tuple[str, str], KnownImage]) -> dict[str, Any]:
    """The stored answer with the state of each image as it is now, and `durability` over all that were acknowledged."""
    detections = []
    waiting = False
    for entry in answer["detections"]:
        images = {}
        for kind, decided in entry["images"].items():
            state = _state(decided, states.get((entry["detection_id"], kind)))
            waiting = waiting or (state == ImageState.PENDING and entry["status"] in ("created", "duplicate"))
            images[kind] = {"state": state, **{name: decided[name] for name in _IMAGE_FIELDS if name in decided}}
        said = {name: entry[name] for name in _ENTRY_FIELDS if name in entry}
        detections.append({**said, "images": images})
    return {
        "batch_id": answer["batch_id"],
        "collector_id": answer["collector_id"],
        "durability": "spooled" if waiting else "stored",
        "detections": detections,
    }


def state_at_receipt(incoming: Incoming, image: IncomingImage) -> KnownImage:
    """What the row of a new image says right after it was written."""
    if image.rejected is not None:
        return KnownImage(
            kind=image.kind, state=ImageState.REJECTED, key=None, sha256=None, size=None, reason=image.rejected
        )
    return KnownImage(
        kind=image.kind,
        state=ImageState.EXPIRED if incoming.expired else ImageState.PENDING,
        key=image.key,
        sha256=image.part.sha256,
        size=image.part.size,
        reason=None,
    )


def _left_out(incoming: Incoming) -> dict[str, Any]:
    return {"ignored": [asdict(one) for one in incoming.ignored]} if incoming.ignored else {}


def _decided(image: IncomingImage) -> dict[str, Any]:
    if image.rejected is not None:
        return {"reason": image.rejected}
    return {"key": image.key, "sha256": image.part.sha256.hex(), "size": image.part.size}


def _first(known: KnownImage | None, image: IncomingImage) -> dict[str, Any]:
    """What the first detection has; of an image that neither has, what was decided about it."""
    if known is None:
        return _decided(image) if image.rejected is not None else {"reason": "the detection was erased"}
    if known.sha256 is None:
        return {"reason": known.reason}
    return {"key": known.key, "sha256": known.sha256.hex(), "size": known.size}


def _state(decided: Mapping[str, Any], known: KnownImage | None) -> str:
    if known is None:  # never recorded, or pruned with its tombstone
        return ImageState.REJECTED if "reason" in decided else ImageState.DELETED
    return known.state


def _name_of(entry: Mapping[str, Any]) -> Name:
    return entry["detection_id"], tuple(entry.get("reasons", ()))
