"""One plate read, parsed once at the border into a frozen value that cannot be wrong afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from platevault.domain.described import CANDIDATES_MAX, EVIDENCE, YEARS, Ignored, Size, mended
from platevault.domain.errors import InvalidRequest
from platevault.domain.moments import MOMENT_EXAMPLE, parse_moment
from platevault.domain.object_keys import check_detection_id, check_image_kind
from platevault.domain.plates import PLATE_MAX

DATA_DEPTH_MAX: Final = 16
DATA_VALUES_MAX: Final = 2000
IMAGES_MAX: Final = 16
# A clock that was never set says 1970, 1980 or 1904: such a detection is kept, and its retention counts from receipt.
EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)


def _storable(text: str) -> str:
    """PostgreSQL stores no NUL, UTF-8 has no lone surrogates, and U+FFFF replaces one from the manifest."""
    if "\x00" in text or "\uffff" in text or not _has_no_surrogate(text):
        raise ValueError("has a character that cannot be stored (NUL, or half of a character such as \\ud800)")
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has a character that does not print")
    return _storable(text)


def _storable_json(value: JsonValue) -> JsonValue:
    """The value itself, when PostgreSQL can store it and no reader drowns in it."""
    left = DATA_VALUES_MAX
    waiting: list[tuple[JsonValue, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1
        if depth > DATA_DEPTH_MAX or left < 0:
            raise ValueError(f"is nested deeper than {DATA_DEPTH_MAX} or has more than {DATA_VALUES_MAX} values")
        if isinstance(item, str):
            _storable(item)
        elif isinstance(item, dict):
            for name in item:
                _storable(name)
            waiting.extend((inner, depth + 1) for inner in item.values())
        elif isinstance(item, list):
            waiting.extend((inner, depth + 1) for inner in item)
    return value


Text32 = Annotated[str, Field(min_length=1, max_length=32), AfterValidator(_printable)]
Text64 = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_printable)]
Text128 = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_printable)]
Plate = Annotated[str, Field(min_length=1, max_length=PLATE_MAX), AfterValidator(_printable)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=0, le=1_000_000)]
FreeForm = Annotated[dict[str, JsonValue], AfterValidator(_storable_json)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Candidate(_Value):
    """Another reading of the same plate."""

    plate: Plate
    confidence: Share | None = None


class Box(_Value):
    """Where the plate stands in `full`: pixels from the top-left corner."""

    x: Pixels
    y: Pixels
    width: Annotated[int, Field(ge=1, le=1_000_000)]
    height: Annotated[int, Field(ge=1, le=1_000_000)]


class Vehicle(_Value):
    """What the camera says of the vehicle."""

    type: Text64 | None = None
    make: Text64 | None = None
    model: Text64 | None = None
    color: Text64 | None = None
    year: Annotated[int, Field(ge=YEARS[0], le=YEARS[1])] | None = None


class DeclaredImage(_Value):
    """What the manifest says of one image; both are checked when given."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    size: Annotated[int, Field(ge=0)] | None = None


class Detection(_Value):
    """One plate read by one camera. Times have a zone and are kept to the microsecond, in UTC."""

    detection_id: Annotated[str, AfterValidator(check_detection_id)]
    captured_at: datetime
    camera_id: Text128
    plate: Plate | None = None
    confidence: Share | None = None
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=CANDIDATES_MAX, strict=False)] | None = None
    region: Text32 | None = None
    box: Box | None = None
    vehicle: Vehicle | None = None
    direction: Text64 | None = None
    heading_degrees: Annotated[float, Field(ge=0, lt=360, allow_inf_nan=False)] | None = None
    data: FreeForm | None = None
    images: Annotated[dict[str, DeclaredImage], Field(max_length=IMAGES_MAX)] = Field(default_factory=dict)

    @field_validator("detection_id", mode="before")
    @classmethod
    def _our_own_error(cls, value: object) -> object:
        if isinstance(value, str):
            try:
                check_detection_id(value)
            except InvalidRequest as error:
                raise ValueError(str(error).removeprefix("detection_id: ")) from error
        return value

    @field_validator("captured_at", mode="before")
    @classmethod
    def _written_as_text(cls, value: object) -> datetime:
        if not isinstance(value, str):
            raise ValueError(f"text with a date and time as RFC 3339 writes it, for example {MOMENT_EXAMPLE}")  # noqa: TRY004  pydantic reports ValueError
        return parse_moment(value)

    @field_validator("captured_at")
    @classmethod
    def _plausible(cls, moment: datetime) -> datetime:
        if moment < EARLIEST:
            raise ValueError(f"is before {EARLIEST.year}: check the clock")
        return moment

    @field_validator("images")
    @classmethod
    def _known_kinds(cls, value: dict[str, DeclaredImage]) -> dict[str, DeclaredImage]:
        for kind in value:
            try:
                check_image_kind(kind)
            except InvalidRequest as error:
                raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.plate is None and not self.images:
            raise ValueError("has neither a plate nor an image")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """A valid detection, and what was left out of it."""

    detection: Detection
    ignored: tuple[Ignored, ...] = ()


def parse_detection(raw: object, *, picture: Size | None = None) -> Understood | tuple[str, ...]:
    """Return the detection, or the reasons why it is none, each naming its field.

    Only evidence refuses it. What only describes is mended or left out. `picture` is (width, height) of `full`, if known.
    """
    if not isinstance(raw, Mapping):
        return ('a detection is an object, for example {"detection_id": "evt-1", …}',)
    fields, ignored = mended(raw, picture=picture)
    try:
        return Understood(detection=_validated(fields, ignored), ignored=tuple(ignored))
    except ValidationError as error:
        lines = {_sentence(line) for line in error.errors(include_url=False, include_input=False)}
        return (*sorted(lines), *(f"{one.field}: {one.reason}" for one in ignored))[:20]


def _validated(fields: dict[str, Any], ignored: list[Ignored]) -> Detection:
    """The detection without describing fields that its own checks refuse; these are added to `ignored`."""
    try:
        return Detection.model_validate(fields)
    except ValidationError as error:
        odd: dict[str, str] = {}
        for line in error.errors(include_url=False, include_input=False):
            if line["loc"] and line["loc"][0] not in EVIDENCE:
                odd.setdefault(str(line["loc"][0]), _meaning(line))
        ignored += [Ignored(name, reason) for name, reason in odd.items()]
        return Detection.model_validate({k: v for k, v in fields.items() if k not in odd})


def printable(text: str) -> str:
    """The text as it can be stored and shown: what does not print stands there as its escape."""
    if text.isprintable() and _has_no_surrogate(text):
        return text
    return text.encode("unicode_escape").decode("ascii")


def _sentence(line: Mapping[str, Any]) -> str:
    where = printable(".".join(str(step) for step in line["loc"])[:100])
    return f"{where}: {_meaning(line)}" if where else _meaning(line)


def _meaning(line: Mapping[str, Any]) -> str:
    """Our own sentence, or else the form of the field: a library's words say nothing to the sender."""
    if line["type"] == "value_error":
        return printable(str(line["msg"]).removeprefix("Value error, "))
    steps = [step for step in line["loc"] if step in _FORMS]
    missing = "is missing; " if line["type"] == "missing" else ""
    return missing + _FORMS[str(steps[-1])] if steps else "not of the documented form"


_FORMS: Final = {
    "detection_id": 'text, for example "evt-2025-01-15-0001"',
    "captured_at": f"text with a date and time as RFC 3339 writes it, for example {MOMENT_EXAMPLE}",
    "camera_id": 'text of 1 to 128 printable characters, for example "lane-1"',
    "images": f'an object of at most {IMAGES_MAX} images by kind, for example {{"full": {{}}}}',
    "sha256": "the SHA-256 of the image, 64 hexadecimal digits",
    "size": "the size of the image in bytes, for example 52133",
    "data": 'not an object, for example {"lane": 1}',
}


def _has_no_surrogate(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
