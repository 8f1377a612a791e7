"""Format of `POST /v1/detections`: a JSON manifest in the part `batch`, and one part an image.

File names and the sender's content types are ignored; the manifest declares each part, and each declared part must come.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from platevault.domain.batch import DIGEST_FORM, MANIFEST_BYTES_MAX, MANIFEST_PART, Limits
from platevault.domain.canonical_values import canonical_detection
from platevault.domain.described import Ignored, Size
from platevault.domain.detection import Understood, parse_detection, printable
from platevault.domain.errors import BatchRefused, TooLarge
from platevault.domain.moments import NoMoment, parse_moment
from platevault.domain.object_keys import BATCH_ID, COLLECTOR_ID, IMAGE_KIND, part_name
from platevault.formats.batch import Batch, Read, Refused, Slice
from platevault.formats.delivery import Delivery, Part
from platevault.formats.describing_data import within_limit
from platevault.formats.format import Format
from platevault.formats.json_text import BOM, decoded, without_oddities

_Form = TypeVar("_Form")

_NAME_FORMS: Final = {
    "batch_id": "text of 1 to 128 letters, digits and . _ : -, for example gate-1-000042",
    "collector_id": "text of 1 to 63 letters, digits and . _ -, for example gate-1",
}
_FIELDS: Final = {"batch_id", "collector_id", "sent_at", "detections"}


def parse(delivery: Delivery) -> Batch:
    """Parse the manifest and check it against the parts.

    Raises: `BatchRefused` or `TooLarge`, naming the part. An invalid detection refuses itself alone.
    """
    lead = next((part for part in delivery.parts if part.name == MANIFEST_PART), None)
    if lead is None:
        raise BatchRefused("the batch has no part of this name", part=MANIFEST_PART)
    manifest = Manifest.parse(lead.view, limits=delivery.limits)
    images = [part for part in delivery.parts if part is not lead]
    manifest.check_parts(images)
    return batch_of(manifest, images)


def batch_of(manifest: "Manifest", parts: Sequence[Part]) -> Batch:
    """The batch of a manifest whose parts were checked; each detection is valid or refused."""
    by_name = {part.name: part for part in parts}
    reads: list[Read] = []
    refused: list[Refused] = []
    for place, raw in enumerate(manifest.detections):
        kept, left_out = within_limit(raw)
        found = parse_detection(kept, picture=_scene_size(raw, by_name))
        if isinstance(found, Understood):
            reads.append(_read(found, by_name, left_out=left_out))
        else:
            refused.append(_refused_detection(raw, found, place=place))
    return Batch(
        collector_id=manifest.collector_id,
        batch_id=manifest.batch_id,
        digest=manifest.content_digest(parts),
        earlier_digests={1: lambda: manifest.content_digest(parts, form=1)},
        sent_at=manifest.sent_at,
        reads=tuple(reads),
        refused=tuple(refused),
        told_in=MANIFEST_PART,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The `batch` part: who sends, which batch, and the detections as they came, not yet judged one by one."""

    batch_id: str
    collector_id: str
    sent_at: datetime | None
    detections: tuple[Any, ...]
    size: int = 0

    @classmethod
    def parse(cls, text: bytes | memoryview, *, limits: Limits) -> "Manifest":
        """Raises `BatchRefused` or `TooLarge`, naming the part, when it is not a manifest."""
        raw = _object(text)
        unknown = sorted(str(name)[:64] for name in raw.keys() - _FIELDS)
        if unknown:
            raise _refused("unknown field " + ", ".join(printable(name) for name in unknown[:5]))
        detections = _list(raw.get("detections"))
        if not detections:
            raise _refused("detections: a list of at least one detection")
        if len(detections) > limits.max_batch_detections:
            raise TooLarge(f"at most {limits.max_batch_detections} detections in a batch", part=MANIFEST_PART)
        return cls(
            batch_id=_identifier(raw, "batch_id", BATCH_ID),
            collector_id=_identifier(raw, "collector_id", COLLECTOR_ID),
            sent_at=_moment(_decoded(raw.get("sent_at"))),
            # One by one: one call for all of them would keep every other thread from running until it ends.
            detections=tuple(_decoded(one) for one in detections),
            size=len(text),
        )

    def declared_parts(self) -> Mapping[str, Mapping[str, Any]]:
        """Part name → what is said of it, of every detection, the invalid ones too; raises on a name declared twice."""
        declared: dict[str, Mapping[str, Any]] = {}
        seen: set[str] = set()
        for raw in self.detections:
            if not isinstance(raw, dict) or not isinstance(raw.get("detection_id"), str):
                continue
            detection_id = raw["detection_id"]
            if detection_id in seen:
                raise _refused(f"detection_id {detection_id[:128]!r} occurs twice in this batch")
            seen.add(detection_id)
            images = raw.get("images")
            for kind, said in images.items() if isinstance(images, dict) else ():
                name, well_formed = part_name(detection_id, kind), IMAGE_KIND.fullmatch(kind) is not None
                if well_formed or name not in declared:
                    # Two kinds of their form never make one name; of one that is not, its detection is refused anyway.
                    declared[name] = said if isinstance(said, dict) else {}
        if MANIFEST_PART in declared:
            raise _refused("a part of this name is the manifest itself")
        return declared

    def check_parts(self, parts: Sequence[Part]) -> None:
        """Raises `BatchRefused`, naming the part, unless exactly the declared parts came, with their sizes and digests."""
        declared = self.declared_parts()
        arrived = {part.name: part for part in parts}
        for name in arrived:
            if name not in declared:
                raise BatchRefused("this part is not declared in the manifest", part=name)
        for name, said in declared.items():
            part = arrived.get(name)
            if part is None:
                raise BatchRefused("this part is declared in the manifest and did not come", part=name)
            size, digest = said.get("size"), said.get("sha256")
            if isinstance(size, int) and size != part.size:
                raise BatchRefused(f"declared with {size} bytes, came with {part.size}", part=name)
            if isinstance(digest, str) and digest.lower() != part.sha256.hex():
                raise BatchRefused("its SHA-256 is not the declared one", part=name)

    def content_digest(self, parts: Sequence[Part], *, form: int = DIGEST_FORM) -> bytes:
        """SHA-256 of what the batch says: `detections` in canonical JSON, each part's digest and size, in name order.

        `sent_at`, boundary, part order and file names do not count: they change from one try to the next. Form 1 is that of
        older versions; it is the same where the numbers and times of the manifest are spelled canonically.
        """
        ordered = sorted(self.detections, key=_detection_order)
        shown = ordered if form == 1 else (canonical_detection(raw) for raw in ordered)
        # The text of the whole list, encoded one by one for the same reason as `parse` decodes.
        lines = [b"[%b]" % b",".join(msgspec.json.encode(one, order="deterministic") for one in shown)]
        lines += [
            f"{part.name} {part.sha256.hex()} {part.size}".encode("utf-8", "surrogatepass")
            for part in sorted(parts, key=lambda part: part.name)
        ]
        return hashlib.sha256(b"\n".join(lines)).digest()


def shown_id(raw: Any) -> str | None:
    """The id of a detection of the manifest, as answers show it; None if it has none."""
    named = raw.get("detection_id") if isinstance(raw, dict) else None
    return printable(named[:128]) if isinstance(named, str) else None


def _object(text: bytes | memoryview) -> dict[str, msgspec.Raw]:
    """The fields of the manifest, each not decoded yet."""
    text = text[3:] if text[:3] == BOM else text
    try:
        return _fields(text)
    except msgspec.ValidationError as error:
        raise _refused('not a JSON object, for example {"batch_id": "b-1", …}') from error


def _fields(text: bytes | memoryview) -> dict[str, msgspec.Raw]:
    try:
        return _as(dict[str, msgspec.Raw], text)
    except BatchRefused:
        plain = without_oddities(bytes(text))
        if plain == text:
            raise
        return _as(dict[str, msgspec.Raw], plain)


def _list(text: msgspec.Raw | None) -> list[msgspec.Raw]:
    try:
        return [] if text is None else _as(list[msgspec.Raw], text)
    except msgspec.ValidationError:
        return []


def _decoded(text: msgspec.Raw | None) -> Any:
    try:
        return None if text is None else decoded(text)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(error) from error


def _as(form: type[_Form], text: bytes | memoryview | msgspec.Raw) -> _Form:
    """Raises `BatchRefused` for what is no JSON, `ValidationError` for JSON of another form."""
    try:
        return msgspec.json.decode(text, type=form)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _no_json(error) from error


def _no_json(error: Exception) -> BatchRefused:
    return _refused('not JSON, for example {"batch_id": "b-1", …}: ' + _place(error))


def _place(error: Exception) -> str:
    """Where the text ends to be JSON, without a library's words."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    found = re.search(r"\(byte (\d+)\)", str(error))
    return f"the fault is at byte {found[1]}" if found else "it is cut off"


def _identifier(raw: Mapping[str, msgspec.Raw], name: str, form: Any) -> str:
    value = _decoded(raw.get(name))
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise _refused(f"{name}: {_NAME_FORMS[name]}")
    return value


def _moment(value: object) -> datetime | None:
    if value is None or value == "":
        return None
    try:
        return parse_moment(value if isinstance(value, str) else "")
    except NoMoment as error:
        raise _refused(f"sent_at: {error}") from error


def _refused(reason: str) -> BatchRefused:
    return BatchRefused(reason, part=MANIFEST_PART)


def _detection_order(raw: Any) -> str:
    return str(raw.get("detection_id")) if isinstance(raw, dict) else ""


def _read(found: Understood, parts: Mapping[str, Part], *, left_out: tuple[Ignored, ...]) -> Read:
    detection = found.detection
    images = {kind: Slice.whole(parts[part_name(detection.detection_id, kind)]) for kind in sorted(detection.images)}
    return Read(detection=detection, images=images, ignored=(*left_out, *found.ignored))


def _scene_size(raw: Any, parts: Mapping[str, Part]) -> Size | None:
    """(width, height) of the image `full`, whose pixels the box counts."""
    scene = parts.get(part_name(str(raw.get("detection_id")), "full")) if isinstance(raw, dict) else None
    return (scene.width, scene.height) if scene is not None and scene.width and scene.height else None


def _refused_detection(raw: Any, reasons: tuple[str, ...], *, place: int) -> Refused:
    return Refused(detection_id=shown_id(raw), reasons=reasons, place=place)


FORMAT: Final = Format(
    name="native", parse=parse, lead=MANIFEST_PART, lead_bytes_max=MANIFEST_BYTES_MAX, multipart_only=True
)
