"""The contract of every `ObjectStore`; a new backend adds one line to `BACKENDS`."""

import asyncio
import hashlib
import random
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from platevault.domain.errors import InvalidRequest, ObjectRefused
from platevault.infra.objectstore import NewObject, ObjectStore
from platevault.infra.objectstore.local import LocalStore
from platevault.infra.objectstore.memory import MemoryStore
from platevault.infra.objectstore.s3.store import S3Store

BACKENDS = ("memory", "local", "seaweed", "minio")

METADATA = {
    "detection-id": "evt_abc123",
    "captured-at": "2025-01-15T09:30:00.123456+00:00",
    "camera-id": "north%201%2F%C3%BC",
    "sha256": "ab" * 32,
}


@pytest.fixture(params=BACKENDS)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectStore]:
    opened: ObjectStore
    if request.param == "memory":
        opened = MemoryStore()
    elif request.param == "local":
        opened = LocalStore.open(tmp_path / "a folder" / "objects")
    else:
        server = request.getfixturevalue(request.param)
        opened = S3Store.open(
            endpoint=server.endpoint,
            secure=False,
            region=server.region,
            bucket=server.bucket,
            access_key=server.access_key,
            secret_key=server.secret_key,
        )
    yield opened
    await opened.close()


def a_folder() -> str:
    """A place that no other test uses: the servers outlive a test."""
    return f"full/2025/01/15/{uuid.uuid4().hex}/"


def a_key() -> str:
    return f"full/2025/01/15/{uuid.uuid4().hex}_full.jpg"


def an_object(data: bytes = b"first", **metadata: str) -> NewObject:
    return NewObject(data=data, content_type="image/jpeg", metadata=metadata or METADATA)


async def keys_under(store: ObjectStore, prefix: str) -> list[str]:
    return [key async for key, _size, _modified_at in store.list(prefix)]


async def test_a_part_of_an_object_is_read_of_that_version_alone(store: ObjectStore) -> None:
    key, data = a_key(), random.Random(1).randbytes(300_000)
    assert await store.create(key, an_object(data))
    stored = await store.stat(key)
    assert stored is not None
    etag = stored.etag
    assert await store.read(key, offset=0, size=10, etag=etag) == data[:10]
    assert await store.read(key, offset=99_999, size=200_001, etag=etag) == data[99_999:]
    assert await store.replace(key, an_object(data[::-1]), etag=etag)
    assert await store.read(key, offset=0, size=10, etag=etag) is None, "the version is another one by now"
    await store.delete(key)
    assert await store.read(key, offset=0, size=10, etag=etag) is None


async def test_what_is_put_comes_back(store: ObjectStore) -> None:
    key = a_key()
    assert await store.create(key, an_object(b"\x00\xff bytes"))
    assert await store.get(key) == b"\x00\xff bytes"


async def test_type_caching_and_metadata_come_back(store: ObjectStore) -> None:
    key, before = a_key(), datetime.now(UTC)
    await store.create(key, an_object(b"12345"))
    stored = await store.stat(key)
    assert stored is not None
    assert (stored.key, stored.size) == (key, 5)
    assert stored.content_type == "image/jpeg"
    assert stored.cache_control == "private, max-age=86400"
    assert dict(stored.metadata) == METADATA
    assert stored.etag
    assert abs(stored.modified_at - before) < timedelta(seconds=10)


async def test_a_key_is_taken_once_and_the_first_bytes_stay(store: ObjectStore) -> None:
    key = a_key()
    assert await store.create(key, an_object(b"first", who="first")) is True
    assert await store.create(key, an_object(b"second", who="second")) is False
    assert await store.get(key) == b"first"
    stored = await store.stat(key)
    assert stored is not None
    assert stored.metadata == {"who": "first"}


async def test_of_many_at_once_one_wins_with_its_own_metadata(store: ObjectStore) -> None:
    for _ in range(2):
        key = a_key()
        puts = (store.create(key, an_object(f"writer {n}".encode(), who=str(n))) for n in range(8))
        won = await asyncio.gather(*puts)
        assert sum(won) == 1
        winner = won.index(True)
        assert await store.get(key) == f"writer {winner}".encode()
        stored = await store.stat(key)
        assert stored is not None
        assert stored.metadata == {"who": str(winner)}


async def test_replacing_needs_the_etag_that_stands(store: ObjectStore) -> None:
    key = a_key()
    await store.create(key, an_object(b"first"))
    first = await store.stat(key)
    assert first is not None
    assert await store.replace(key, an_object(b"second", who="second"), etag=first.etag) is True
    assert await store.replace(key, an_object(b"third"), etag=first.etag) is False
    assert await store.get(key) == b"second"
    second = await store.stat(key)
    assert second is not None
    assert second.metadata == {"who": "second"}
    assert second.etag != first.etag


async def test_nothing_is_not_replaced(store: ObjectStore) -> None:
    key = a_key()
    assert await store.replace(key, an_object(), etag='"0123456789abcdef0123456789abcdef"') is False
    assert await store.get(key) is None


async def test_of_many_replacing_at_once_one_wins(store: ObjectStore) -> None:
    key = a_key()
    await store.create(key, an_object(b"0"))
    stood = await store.stat(key)
    assert stood is not None
    won = await asyncio.gather(*(store.replace(key, an_object(f"{n}!".encode()), etag=stood.etag) for n in range(6)))
    assert sum(won) == 1
    assert await store.get(key) == f"{won.index(True)}!".encode()


async def test_absence_is_none(store: ObjectStore) -> None:
    assert await store.get(a_key()) is None
    assert await store.stat(a_key()) is None


async def test_an_empty_object_is_not_absent(store: ObjectStore) -> None:
    key = a_key()
    assert await store.create(key, an_object(b""))
    assert await store.get(key) == b""
    stored = await store.stat(key)
    assert stored is not None
    assert stored.size == 0


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_buffer_is_taken(store: ObjectStore, kind: type[bytes | bytearray | memoryview]) -> None:
    key = a_key()
    await store.create(key, NewObject(data=kind(b"buffer"), content_type="image/png", metadata={}))
    assert await store.get(key) == b"buffer"
    stored = await store.stat(key)
    assert stored is not None
    assert dict(stored.metadata) == {}


async def test_the_largest_image_comes_back_as_it_was(store: ObjectStore) -> None:
    data, key = random.Random(1).randbytes(16 * 1024 * 1024), a_key()
    assert await store.create(key, an_object(data))
    read = await store.get(key)
    assert read is not None
    assert hashlib.sha256(read).digest() == hashlib.sha256(data).digest()


async def test_a_list_is_in_key_order_with_sizes(store: ObjectStore) -> None:
    folder = a_folder()
    names = ["b_full.jpg", "a_full.jpg", "a-1_full.jpg", "a.1_full.jpg", "B_full.jpg", "a1_full.jpg"]
    for size, name in enumerate(names):
        await store.create(folder + name, an_object(b"x" * size))
    listed = [item async for item in store.list(folder)]
    assert [key for key, _, _ in listed] == sorted(folder + name for name in names)
    assert {key.removeprefix(folder): size for key, size, _ in listed} == {name: n for n, name in enumerate(names)}
    assert all(abs(datetime.now(UTC) - modified_at) < timedelta(minutes=1) for _, _, modified_at in listed)


async def test_a_list_reaches_into_folders_in_the_order_of_days(store: ObjectStore) -> None:
    folder = a_folder()
    keys = [f"{folder}{day}/x_full.jpg" for day in ("2024/12/31", "2025/01/01", "2025/01/02", "2025/02/01")]
    for key in reversed(keys):
        await store.create(key, an_object())
    assert await keys_under(store, folder) == keys
    assert await keys_under(store, f"{folder}2025/01/") == keys[1:3]


async def test_a_prefix_may_end_within_a_name(store: ObjectStore) -> None:
    folder = a_folder()
    for name in ("evt_1_full.jpg", "evt_10_full.jpg", "evt_2_full.jpg"):
        await store.create(folder + name, an_object())
    assert await keys_under(store, f"{folder}evt_1") == [f"{folder}evt_10_full.jpg", f"{folder}evt_1_full.jpg"]


async def test_a_list_of_nothing_is_empty(store: ObjectStore) -> None:
    assert await keys_under(store, a_folder()) == []


async def test_a_list_goes_on_past_one_page(store: ObjectStore) -> None:
    folder = a_folder()
    keys = [f"{folder}{number:04}_full.jpg" for number in range(1003)]
    for start in range(0, len(keys), 50):
        await asyncio.gather(*(store.create(key, an_object(b"x")) for key in keys[start : start + 50]))
    assert await keys_under(store, folder) == keys


async def test_a_copy_has_the_bytes_and_all_that_travels_with_them(store: ObjectStore) -> None:
    source, target = a_key(), f"holds/{a_key()}"
    await store.create(source, an_object(b"evidence"))
    assert await store.copy(source, target) is True
    assert await store.get(target) == b"evidence"
    stored = await store.stat(target)
    assert stored is not None
    assert dict(stored.metadata) == METADATA
    assert (stored.content_type, stored.cache_control) == ("image/jpeg", "private, max-age=86400")


async def test_a_copy_can_carry_other_metadata(store: ObjectStore) -> None:
    source, target = a_key(), f"holds/{a_key()}"
    await store.create(source, an_object(b"evidence"))
    assert await store.copy(source, target, metadata={**METADATA, "hold-id": "h-1"}) is True
    stored, original = await store.stat(target), await store.stat(source)
    assert stored is not None
    assert original is not None
    assert dict(stored.metadata) == {**METADATA, "hold-id": "h-1"}
    assert (stored.content_type, stored.cache_control) == ("image/jpeg", "private, max-age=86400")
    assert dict(original.metadata) == METADATA
    assert await store.get(target) == b"evidence"


@pytest.mark.parametrize("metadata", [None, {"hold-id": "h-1"}])
async def test_a_copy_replaces_its_target_and_of_nothing_there_is_none(
    store: ObjectStore,
    metadata: dict[str, str] | None,
) -> None:
    source, target = a_key(), f"holds/{a_key()}"
    assert await store.copy(source, target, metadata=metadata) is False
    assert await store.get(target) is None
    await store.create(target, an_object(b"old"))
    await store.create(source, an_object(b"new"))
    assert await store.copy(source, target, metadata=metadata) is True
    assert await store.get(target) == b"new"


async def test_what_is_deleted_is_gone_and_its_key_is_free(store: ObjectStore) -> None:
    key = a_key()
    await store.create(key, an_object(b"first"))
    await store.delete(key)
    assert await store.get(key) is None
    assert await store.stat(key) is None
    assert await keys_under(store, key) == []
    assert await store.create(key, an_object(b"second")) is True


async def test_deleting_nothing_is_no_error(store: ObjectStore) -> None:
    key = a_key()
    await store.delete(key)
    assert await store.get(key) is None


@pytest.mark.parametrize(
    "name", ["with space.jpg", "a+b&c=d.jpg", "100%.jpg", "a%20b.jpg", "ü.jpg", "a#b?c.jpg", "~(x)'.jpg"]
)
async def test_a_key_of_unusual_characters_is_kept_as_it_is(store: ObjectStore, name: str) -> None:
    key = a_folder() + name
    assert await store.create(key, an_object(name.encode()))
    assert await store.get(key) == name.encode()
    assert await keys_under(store, key) == [key]
    await store.delete(key)
    assert await store.stat(key) is None


@pytest.mark.parametrize(
    "key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", "a\\b", "a\nb", "a\x00b", "k" * 1025]
)
async def test_a_key_that_would_leave_its_place_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(InvalidRequest):
        await store.create(key, an_object())
    with pytest.raises(InvalidRequest):
        await store.get(key)
    with pytest.raises(InvalidRequest):
        await store.stat(key)
    with pytest.raises(InvalidRequest):
        await store.delete(key)
    with pytest.raises(InvalidRequest):
        await store.copy(key, a_key())


async def test_a_store_that_would_take_a_put_says_so_and_keeps_nothing_of_the_question(store: ObjectStore) -> None:
    await store.check()
    await store.settle()
    assert await keys_under(store, "meta/check") == []


async def test_bytes_that_do_not_have_their_digest_are_refused_by_a_store_that_says_that_it_compares(
    store: ObjectStore,
) -> None:
    assert await store.compares()
    key = a_key()
    wrong = NewObject(data=b"some", content_type="image/jpeg", metadata={}, sha256=bytes(32))
    with pytest.raises(ObjectRefused):
        await store.create(key, wrong)
    assert await store.get(key) is None
    right = NewObject(data=b"some", content_type="image/jpeg", metadata={}, sha256=hashlib.sha256(b"some").digest())
    assert await store.create(key, right)
