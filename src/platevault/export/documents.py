"""What stands beside the images of an export: the manifest for programs, a table and a letter for people."""

import csv
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from platevault.access.actor import Look
from platevault.domain.object_keys import CAMERAS_KINDS
from platevault.domain.reported_fields import REPORTED_FIELDS, Exported
from platevault.domain.search_results import FoundDetection
from platevault.export.request import INCOMPLETE, Ending, ExportTally, Fetched, Outcome, described

FORMAT: Final = "platevault-export/1"
BYTE_ORDER_MARK: Final = "\ufeff"  # without it spreadsheets take UTF-8 for something else

_FIELDS: Final = (
    *("detection_id", "captured_at", "received_at", "collector_id", "camera_id"),
    *(field.name for field in REPORTED_FIELDS if field.treatment.exported is Exported.COLUMN),
    *("held", "retain_until", "clock_suspect", "erased_at"),
)
_PARTS: Final = {
    field.name: field.treatment.parts for field in REPORTED_FIELDS if field.treatment.exported is Exported.PARTS
}
# A spreadsheet takes a cell that begins so for a formula, and runs it (OWASP: CSV injection); full-width forms too.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Spreadsheets of many countries split at semicolons, whatever the quotes: what would begin a cell there is disarmed too.
_CELL_OF_OTHERS: Final = re.compile(r"([;|\t] *)(?=[=+\-@＝＋－＠])")

_encode: Final = msgspec.json.Encoder().encode


def manifest_head(look: Look, *, now: datetime, filters: Mapping[str, Any]) -> bytes:
    """What stands before the detections: who exported what, when and why."""
    head = {
        "format": FORMAT,
        "exported_at": now,
        "exported_by": {
            "actor": look.actor.subject,
            "actor_kind": look.actor.kind,
            "purpose": look.purpose,
            "case": look.case,
            "request_id": look.request_id,
        },
        "filters": filters,
    }
    return _encode(head)[:-1] + b',"detections":['


def manifest_lines(page: Iterable[tuple[FoundDetection, Sequence[Fetched]]], *, first: bool) -> bytes:
    """One line a detection; `first` where none went before."""
    lines = b",\n".join(_encode(described(found, fetched)) for found, fetched in page)
    return lines and (b"\n" if first else b",\n") + lines


def manifest_tail(tally: ExportTally, ending: Ending) -> bytes:
    """What stands behind the detections: how many, and whether more follow."""
    tail = {
        "counts": tally.counts(),
        "complete": ending.complete,
        "next_cursor": ending.next_cursor,
        "ended_early": ending.reason,
    }
    return b"\n]," + _encode(tail)[1:] + b"\n"


def table_head() -> bytes:
    """The names of the columns."""
    of_images = [f"{kind}_{what}" for kind in CAMERAS_KINDS for what in ("image", "file", "sha256")]
    of_parts = [f"{name}_{part}" for name, parts in _PARTS.items() for part in parts]
    return BYTE_ORDER_MARK.encode() + _csv([[*_FIELDS, *of_parts, *of_images, "other_images"]])


def table_lines(page: Iterable[tuple[FoundDetection, Sequence[Fetched]]]) -> bytes:
    """One row a detection."""
    return _csv([_row(found, fetched) for found, fetched in page])


def letter(look: Look, *, now: datetime, tally: ExportTally, ending: Ending) -> bytes:
    """What a person should read first, above all what is not there."""
    absent = [
        f"  {count} {outcome}: {_MEANING[outcome]}"
        for outcome, count in sorted(tally.images.items())
        if outcome in _MEANING
    ]
    lines = [
        f"Platevault export of {now:%Y-%m-%d %H:%M:%S} UTC, by {look.actor.subject}",
        f"Purpose: {look.purpose or 'not given'}",
        f"Case: {look.case or 'not given'}",
        "",
        *_whole(ending),
        f"{tally.detections} detections, {tally.images[Outcome.INCLUDED]} images ({tally.bytes} bytes).",
        *(["", "Images that are listed, but not in this archive:", *absent] if absent else []),
        "",
        "detections.csv    one row a detection, for a spreadsheet. A ' before a text keeps it from being run as a formula.",
        "manifest.json     all that is known of each detection, and the SHA-256 of each image.",
        "All other files   the images, byte for byte as the cameras sent them, under their keys.",
        "",
    ]
    return "\r\n".join(lines).encode()


def remark(tally: ExportTally, ending: Ending) -> str:
    """The archive's comment (`unzip -z` shows it)."""
    if ending.complete:
        return f"Platevault export: {tally.detections} detections; nothing follows"
    return f"Platevault export: {tally.detections} detections; NOT ALL, go on with cursor={ending.next_cursor}"


_MEANING: Final = {
    Outcome.PENDING: "not yet in the object store; export again later",
    Outcome.EXPIRED: "their time of retention has passed",
    Outcome.DELETED: "deleted on request",
    Outcome.MISSING: "their bytes are lost",
    Outcome.REJECTED: "no image when they were received",
    Outcome.CORRUPTED: "their bytes are NOT what their SHA-256 says, and were left out",
    Outcome.UNREADABLE: "the object store did not give them; export again later",
}
assert set(_MEANING) == set(Outcome) - {Outcome.INCLUDED}
assert set(_MEANING) >= INCOMPLETE


def _whole(ending: Ending) -> list[str]:
    if ending.complete:
        return ["This archive has all detections of the question (from its cursor on, where one was given)."]
    why = "as many as were asked for in one archive" if ending.reason is None else ending.reason
    return [f"THIS IS NOT ALL: more detections follow ({why}).", f"Go on with the cursor {ending.next_cursor}", ""]


def _row(found: FoundDetection, fetched: Sequence[Fetched]) -> list[str]:
    images = {one.row.kind: one for one in fetched}
    of_images = [cell for kind in CAMERAS_KINDS for cell in _image_cells(images.get(kind))]
    others = [f"{kind}: {one.outcome}" for kind, one in images.items() if kind not in CAMERAS_KINDS]
    values = [getattr(found, name) for name in _FIELDS]
    values += [value for name, parts in _PARTS.items() for value in _values(getattr(found, name), parts)]
    return [_cell(value) for value in (*values, *of_images, "; ".join(others))]


def _values(raw: msgspec.Raw | None, parts: Sequence[str]) -> list[Any]:
    """The values of an object that came as JSON, in the order of `parts`; None for each that is absent."""
    told = None if raw is None else msgspec.json.decode(bytes(raw))
    return [told.get(part) if isinstance(told, dict) else None for part in parts]


def _image_cells(one: Fetched | None) -> tuple[str | None, ...]:
    if one is None:
        return "", "", ""
    return one.outcome.value, one.row.key if one.outcome is Outcome.INCLUDED else "", one.row.sha256


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return str(value)
    text = str(value)
    text = _CELL_OF_OTHERS.sub(r"\1'", text)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()
