"""Two formats that only this file knows: they go the whole way, and nothing of the service is changed for them."""

import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import structlog

from platevault.domain.detection import Understood, parse_detection
from platevault.domain.errors import BatchRefused, DatabaseUnavailable, Forbidden, SpoolFull, TooLarge
from platevault.formats import DEFAULT, FORMATS
from platevault.formats.batch import Batch, Decoded, ImageBytes, Read, Slice
from platevault.formats.delivery import Delivery, Source
from platevault.formats.format import Format
from platevault.infra.postgres.database import Database
from platevault.infra.spool.file_format import HEADER, read_index
from platevault.ingest.accept import accept
from platevault.ingest.context import IncomingRequest
from platevault.ingest.receipt import Receipt
from tests.support.deliveries import Batch as DeliveredBatch
from tests.support.deliveries import a_batch, a_jpeg, a_name, in_chunks, multipart_body
from tests.support.receptions import Node, a_node, statuses

SCENE: Final = a_jpeg("navy", size=(320, 200)) + b"scene" * 20_000
PLATE: Final = a_jpeg("white", size=(64, 16)) + b"plate"


def parse_boxes(delivery: Delivery) -> Batch:
    """`read.txt` says plate and camera; the picture is whatever part is one; a frame of 4 bytes may be around it."""
    told = next(part for part in delivery.parts if part.file_name == "read.txt")
    plate, camera = bytes(told.view).decode().split("@")
    picture = next(part for part in delivery.parts if part is not told)
    framed = bytes(picture.view[:4]) == b"BOX:"
    image = Slice(picture, 4, picture.size) if framed else Slice.whole(picture)
    return batch_of(delivery, plate=plate, camera=camera, images={"full": image})


def parse_letters(delivery: Delivery) -> Batch:
    """One JSON object, whatever the content type says, with its picture in base64."""
    (body,) = delivery.parts
    try:
        said = json.loads(bytes(body.view))
        images = {kind: Decoded(base64.b64decode(said[kind])) for kind in ("crop", "full") if kind in said}
    except (ValueError, KeyError) as error:
        raise BatchRefused(f"letters: {error}", part=body.name) from error
    return batch_of(delivery, plate=said["plate"], camera=said["camera"], images=images)


def batch_of(delivery: Delivery, *, plate: str, camera: str, images: dict[str, ImageBytes]) -> Batch:
    assert delivery.source is not None
    digest = hashlib.sha256(b"".join(part.sha256 for part in delivery.parts))
    name = digest.hexdigest()[:32]
    raw = {
        "detection_id": f"{delivery.source.name}-{name}",
        "captured_at": delivery.received_at.isoformat(),
        "camera_id": camera,
        "plate": plate,
        "data": {"query": delivery.query, "model": delivery.head.get("x-model"), **delivery.source.settings},
        "images": {kind: {} for kind in images},
    }
    understood = parse_detection(raw)
    assert isinstance(understood, Understood), understood
    return Batch(
        collector_id=delivery.source.collector_id,
        batch_id=name,
        digest=digest.digest(),
        sent_at=None,
        reads=(Read(detection=understood.detection, images=images),),
    )


BOXES: Final = Format(name="boxes", parse=parse_boxes)
LETTERS: Final = Format(name="letters", parse=parse_letters)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    for one in (BOXES, LETTERS):
        monkeypatch.setitem(FORMATS, one.name, one)


def letter(**fields: Any) -> bytes:
    said = {"plate": "QX417ZB", "camera": "lane-1", "full": base64.b64encode(SCENE).decode(), **fields}
    return json.dumps(said).encode()


def boxes(picture: bytes) -> bytes:
    body = multipart_body({"a": b"QX417ZB@lane-1", "b": picture})
    return body.replace(b'filename="../a.png"', b'filename="read.txt"')


async def send(node: Node, form: Format, body: bytes, *, content_type: str | None = None, **more: Any) -> Receipt:
    request = IncomingRequest(
        content_type=content_type,
        declared_bytes=len(body),
        format=form,
        head={"x-model": "T-1000"},
        query="lane=1",
        source=Source(name=a_name("src"), collector_id="gate-1", settings={"time_zone": "Europe/Rome"}),
        **more,
    )
    return await accept(in_chunks(body, 40_000), request, ingest_context=node.ingest_context)


async def send_boxes(node: Node, picture: bytes, **more: Any) -> Receipt:
    return await send(
        node, BOXES, boxes(picture), content_type="multipart/form-data; boundary=platevault-test-boundary", **more
    )


async def stored(node: Node) -> dict[str, bytes]:
    """Kind → the bytes in the bucket."""
    found = {}
    for row in await node.rows("SELECT kind, key, state FROM images"):
        assert row["state"] == "stored"
        found[str(row["kind"])] = await node.objects.get(str(row["key"])) or b""
    return found


@pytest.fixture
async def node(migrated: Database, tmp_path: Path) -> Node:
    return await a_node(migrated, tmp_path / "spool")


@asynccontextmanager
async def crashing(node: Node) -> AsyncIterator[Node]:
    """A process on the same spool that ends between the rename and the commit."""
    gone = Database.open("postgresql+asyncpg://nobody:x@127.0.0.1:1/none", pool_size=2)
    with pytest.raises(DatabaseUnavailable):
        yield await a_node(gone, node.folder, announced=False)
    await gone.close()


def in_memory_or_not(node: Node, *, keeps: bool) -> None:
    if not keeps:
        assert node.ingest_context.memory.take(64 * 1024 * 1024)


@pytest.mark.parametrize("keeps", [True, False])
@pytest.mark.parametrize("frame", [b"", b"BOX:"])
async def test_a_format_of_parts_with_other_names_is_received_recorded_and_stored(
    node: Node, keeps: bool, frame: bytes
) -> None:
    in_memory_or_not(node, keeps=keeps)
    receipt = await send_boxes(node, frame + SCENE, wait_until_stored=True)
    await node.uploaded()
    assert (receipt.status_code, statuses(receipt)) == (201, ["created"])
    assert await stored(node) == {"full": SCENE}
    (row,) = await node.rows("SELECT plate, camera_id, collector_id, data FROM detections")
    assert (row["plate"], row["camera_id"], row["collector_id"]) == ("QX417ZB", "lane-1", "gate-1")
    assert row["data"] == {"query": "lane=1", "model": "T-1000", "time_zone": "Europe/Rome"}
    (image,) = await node.rows("SELECT width, height, size, sha256 FROM images")
    assert (image["width"], image["height"], image["size"]) == (320, 200, len(SCENE))
    assert image["sha256"] == hashlib.sha256(SCENE).digest()
    assert node.spool_files() == []


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_body_that_is_no_multipart_and_has_its_pictures_in_base64_is_received_and_stored(
    node: Node, keeps: bool
) -> None:
    in_memory_or_not(node, keeps=keeps)
    receipt = await send(
        node, LETTERS, letter(crop=base64.b64encode(PLATE).decode()), content_type="text/xml", wait_until_stored=True
    )
    await node.uploaded()
    assert (receipt.status_code, statuses(receipt)) == (201, ["created"])
    assert await stored(node) == {"full": SCENE, "crop": PLATE}
    assert node.spool_files() == []


@pytest.mark.parametrize("form", ["boxes", "framed boxes", "letters"])
async def test_what_a_crash_left_of_any_format_is_parsed_again_from_its_file_alone(node: Node, form: str) -> None:
    async with crashing(node) as other:
        if form == "letters":
            await send(other, LETTERS, letter())
        else:
            await send_boxes(other, (b"BOX:" if form == "framed boxes" else b"") + SCENE)
    assert await node.recover() == 1
    (row,) = await node.rows("SELECT plate, collector_id, data FROM detections")
    assert (row["plate"], row["collector_id"]) == ("QX417ZB", "gate-1")
    assert row["data"] == {"query": "lane=1", "model": "T-1000", "time_zone": "Europe/Rome"}
    assert await stored(node) == {"full": SCENE}
    assert node.spool_files() == []


async def test_a_decoded_picture_that_the_file_does_not_have_is_never_made_up(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crashing(node) as other:
        await send(other, LETTERS, letter())

    def parse_otherwise(delivery: Delivery) -> Batch:
        return batch_of(delivery, plate="QX417ZB", camera="lane-1", images={"full": Decoded(PLATE)})

    monkeypatch.setitem(FORMATS, "letters", Format(name="letters", parse=parse_otherwise))
    assert await node.recover() == 0
    assert [Path(name).parent.name for name in node.spool_files()] == ["dead", "dead"]
    assert await node.rows("SELECT detection_id FROM detections") == []


async def test_a_file_of_a_format_that_this_version_does_not_know_waits(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with crashing(node) as other:
        await send(other, LETTERS, letter())
    monkeypatch.delitem(FORMATS, "letters")
    with structlog.testing.capture_logs() as lines:
        assert await node.recover() == 0
    assert [line["why"] for line in lines] == ["its format letters is unknown to this version of the service"]
    assert [Path(name).parent.name for name in node.spool_files()] == ["ready"]
    monkeypatch.setitem(FORMATS, "letters", LETTERS)
    assert await node.recover() == 1


async def test_what_a_format_refuses_leaves_nothing_in_the_spool(node: Node) -> None:
    with pytest.raises(BatchRefused) as refused:
        await send(node, LETTERS, b"{")
    assert refused.value.part == "body"
    with pytest.raises(Forbidden):
        await send(node, LETTERS, letter(), only_collector="gate-2")
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0


async def test_a_decoded_picture_needs_room_in_the_spool_of_its_own(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool", spool_bytes=256 * 1024 + len(letter()) + len(SCENE) // 2)
    with pytest.raises(SpoolFull):
        await send(node, LETTERS, letter())
    assert node.spool_files() == []
    assert node.uploader.spool.used() == 0


class OldRow(msgspec.Struct, array_like=True):
    """As the version before formats reads it."""

    name: str
    offset: int
    size: int
    sha256: str
    content_type: str | None
    width: int | None
    height: int | None


class OldIndex(msgspec.Struct):
    received_at: datetime
    manifest: OldRow
    parts: list[OldRow]


def the_index_of(path: Path) -> bytes:
    whole = path.read_bytes()
    length = int.from_bytes(whole[-48:-40])
    return whole[-48 - length : -48]


async def a_native_file(node: Node, batch: DeliveredBatch) -> Path:
    async with crashing(node) as other:
        await other.send(batch)
    (file,) = node.spool_files()
    return node.folder / file


async def test_a_native_file_is_what_the_version_before_formats_reads_with_the_name_of_its_format_added(
    node: Node,
) -> None:
    path = await a_native_file(node, a_batch(2))
    text = the_index_of(path)
    old = msgspec.json.decode(text, type=OldIndex)
    assert old.manifest.name == "batch"
    assert len(old.parts) == 4
    assert path.read_bytes().startswith(HEADER)
    added = msgspec.json.decode(text)
    assert added.pop("format") == "native"
    assert msgspec.json.encode(added) == msgspec.json.encode(old), "nothing else was added, and all is in its old order"


async def test_a_file_that_names_no_format_is_ingested_as_a_native_one(node: Node) -> None:
    batch = a_batch(2)
    path = await a_native_file(node, batch)
    text = the_index_of(path)
    old = msgspec.json.encode(msgspec.json.decode(text, type=OldIndex))
    body = path.read_bytes()[: -48 - len(text)]
    path.write_bytes(body + old + len(old).to_bytes(8) + hashlib.sha256(old).digest() + b"PVINDEX1")
    with path.open("rb") as file:
        assert read_index(file.fileno()).envelope.format is None
    assert await node.recover() == 1
    assert set((await node.states()).values()) == {"stored"}
    assert (await node.send(batch)).replayed, "its content digest is that of the request"


def test_a_format_says_what_is_refused_before_the_body_is_whole(node: Node) -> None:
    limits = node.ingest_context.rules.limits
    assert DEFAULT.part_bytes_max("batch", limits=limits) == 8 * 1024 * 1024
    assert DEFAULT.part_bytes_max("evt_full", limits=limits) == limits.max_image_bytes
    assert LETTERS.part_bytes_max("body", limits=limits) == limits.max_batch_bytes


async def test_a_body_past_the_limit_of_a_batch_is_refused_in_any_format(migrated: Database, tmp_path: Path) -> None:
    node = await a_node(migrated, tmp_path / "spool")
    with pytest.raises(TooLarge):
        await send(node, LETTERS, b"x" * (node.ingest_context.rules.limits.max_batch_bytes + 1))
    assert node.spool_files() == []
