"""What only a folder can meet: a power cut between two files, a disk that is not mounted, files of other hands."""

import asyncio
import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.processes.wrong_clocks import shifted
from tests.support.processes import inherited_environment

from platevault.domain.errors import InvalidRequest, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.local import LocalStore, LocalUrlSigner

KEY = "full/2025/01/15/evt_abc123_full.jpg"
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def an_object(data: bytes = b"first", **metadata: str) -> NewObject:
    return NewObject(data=data, content_type="image/jpeg", metadata=metadata)


async def listed(store: LocalStore) -> list[str]:
    return [key async for key, _size, _modified_at in store.list("")]


async def test_the_bytes_are_a_plain_file_under_their_key(tmp_path: Path) -> None:
    await LocalStore.open(tmp_path).create(KEY, an_object(b"jpeg"))
    assert (tmp_path / "objects" / KEY).read_bytes() == b"jpeg"


async def test_images_are_for_this_user_only(tmp_path: Path) -> None:
    await LocalStore.open(tmp_path / "new").create(KEY, an_object())
    assert (tmp_path / "new" / "objects" / KEY).stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "objects" / "full").stat().st_mode & 0o077 == 0


async def test_another_process_sees_the_same_objects(tmp_path: Path) -> None:
    one, other = LocalStore.open(tmp_path), LocalStore.open(tmp_path)
    won = await asyncio.gather(
        *(store.create(KEY, an_object(str(n).encode())) for n, store in enumerate((one, other) * 4))
    )
    assert sum(won) == 1
    assert await other.get(KEY) == str(won.index(True)).encode()


async def test_a_list_shows_neither_sidecars_nor_unfinished_files(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    await store.create(KEY, an_object(who="me"))
    (tmp_path / "tmp" / "unfinished").write_bytes(b"half")
    assert await listed(store) == [KEY]


async def test_a_put_is_synced_in_the_order_that_a_power_cut_asks_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = LocalStore.open(tmp_path)
    seen: list[str] = []
    real_fsync, real_link, real_replace = os.fsync, os.link, os.replace

    def fsync(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        seen.append(
            f"sync {path.relative_to(tmp_path).parts[0] if path.parent.name == 'tmp' else path.relative_to(tmp_path)}"
        )
        real_fsync(handle)

    def link(source: Path, target: Path) -> None:
        seen.append(f"link {target.relative_to(tmp_path)}")
        real_link(source, target)

    def replace(source: Path, target: Path) -> None:
        seen.append(f"rename {target.relative_to(tmp_path)}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "replace", replace)
    await store.create("full/x.jpg", an_object())
    assert seen == [
        "sync tmp",  # the bytes
        "sync tmp",  # what is said of them
        "sync sidecars",  # the name of the new folder
        "rename sidecars/full/x.jpg.json",
        "sync sidecars/full",
        "sync objects",
        "link objects/full/x.jpg",
        "sync objects/full",
    ]


def failing(call: Callable[..., None], on: str) -> Callable[..., None]:
    def fail(source: Path, target: Path) -> None:
        if on in str(target):
            raise OSError(errno.EIO, "Input/output error")
        call(source, target)

    return fail


async def test_a_sidecar_without_bytes_is_absent_and_can_be_put_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = LocalStore.open(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", failing(os.link, "/objects/"))
        with pytest.raises(StoreUnavailable, match="Input/output error"):
            await store.create(KEY, an_object(b"first", who="first"))
    assert (tmp_path / "sidecars" / f"{KEY}.json").exists()
    assert await store.stat(KEY) is None
    assert await store.get(KEY) is None
    assert await listed(store) == []
    assert list((tmp_path / "tmp").iterdir()) == []
    assert await store.create(KEY, an_object(b"second", who="second"))
    stored = await store.stat(KEY)
    assert stored is not None
    assert stored.metadata == {"who": "second"}


async def test_a_replacement_that_was_cut_short_leaves_bytes_and_metadata_of_before(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = LocalStore.open(tmp_path)
    await store.create(KEY, an_object(b"first", who="first"))
    before = await store.stat(KEY)
    assert before is not None
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", failing(os.replace, "/objects/"))
        with pytest.raises(StoreUnavailable):
            await store.replace(KEY, an_object(b"other", who="second"), etag=before.etag)
    assert await store.get(KEY) == b"first"
    assert await store.stat(KEY) == before
    assert await store.replace(KEY, an_object(b"third", who="third"), etag=before.etag)
    after = await store.stat(KEY)
    assert after is not None
    assert after.metadata == {"who": "third"}


async def test_a_backup_that_lost_the_times_keeps_the_metadata(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    await store.create(KEY, an_object(b"bytes", who="me"))
    os.utime(tmp_path / "objects" / KEY, (1, 1))
    stored = await store.stat(KEY)
    assert stored is not None
    assert stored.metadata == {"who": "me"}
    assert stored.etag == f'"{hashlib.sha256(b"bytes").hexdigest()}"'


async def test_a_file_of_other_hands_is_told_by_its_bytes_alone(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path)
    await store.create(KEY, an_object(b"ours", who="me"))
    (tmp_path / "objects" / KEY).write_bytes(b"theirs")
    stored = await store.stat(KEY)
    assert stored is not None
    assert stored.metadata == {}
    assert stored.content_type == "application/octet-stream"
    assert stored.etag == f'"{hashlib.sha256(b"theirs").hexdigest()}"'
    assert await store.create(KEY, an_object(b"ours")) is False


async def test_what_crashed_puts_left_behind_goes_with_time(tmp_path: Path) -> None:
    LocalStore.open(tmp_path)
    old, young = tmp_path / "tmp" / "old", tmp_path / "tmp" / "young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 3700, time.time() - 3700))
    LocalStore.open(tmp_path)
    assert not old.exists()
    assert young.exists()
    assert list((tmp_path / "tmp").iterdir()) == [young]


async def test_a_disk_that_is_not_mounted_is_not_an_empty_store(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "mounted")
    await store.create(KEY, an_object())
    (tmp_path / "mounted").rename(tmp_path / "gone")
    (tmp_path / "mounted").mkdir()
    for method in (store.get(KEY), store.stat(KEY), store.create(KEY, an_object()), store.check(), listed(store)):
        with pytest.raises(StoreMisconfigured, match="LOCAL_STORAGE_DIR"):
            await method


async def test_a_folder_that_is_a_file_is_a_setting_to_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreMisconfigured, match="LOCAL_STORAGE_DIR"):
        LocalStore.open(tmp_path / "file")


async def test_a_link_out_of_the_folder_is_not_listed(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x.jpg").write_bytes(b"secret")
    (tmp_path / "store" / "objects" / "full").symlink_to(tmp_path / "secret")
    assert await listed(store) == []


def a_signer(signing_key: bytes = b"a signing key") -> LocalUrlSigner:
    return LocalUrlSigner(public_url="https://vault.example/", signing_key=signing_key)


def as_asked(url: str) -> tuple[str, dict[str, str]]:
    """Key and query as a web server hands them on."""
    parts = urlsplit(url)
    assert parts.path.startswith("/v1/objects/")
    return unquote(parts.path.removeprefix("/v1/objects/")), dict(parse_qsl(parts.query))


def test_a_signed_path_reads_as_documented() -> None:
    signed = a_signer().sign(KEY, valid_for=QUARTER, now=NOW)
    start, _, signature = signed.url.rpartition("=")
    assert start == f"https://vault.example/v1/objects/{KEY}?expires=1772601600&signature"
    assert len(signature) == 64
    assert signed.expires_at == datetime(2026, 3, 4, 5, 20, tzinfo=UTC)


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=30),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.none() | st.just("image/jpeg"),
)
def test_what_is_signed_is_accepted(key: str, download: str | None, content_type: str | None) -> None:
    signed = a_signer().sign(key, valid_for=QUARTER, now=NOW, download=download, content_type=content_type)
    asked, query = as_asked(signed.url)
    assert asked == key
    assert query.get("download") == download
    assert a_signer().verify(asked, query, NOW)


def test_a_signature_ends_when_it_says() -> None:
    signed = a_signer().sign(KEY, valid_for=QUARTER, now=NOW)
    key, query = as_asked(signed.url)
    assert a_signer().verify(key, query, signed.expires_at - timedelta(microseconds=1))
    assert not a_signer().verify(key, query, signed.expires_at)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": "1772603400"},
        {"expires": "99999999999999"},
        {"expires": ""},
        {"expires": "x"},
        {"expires": "١٧٧٢٦٠٢٥٠٠"},
        {"signature": ""},
        {"signature": "0" * 64},
        {"signature": "ü"},
        {"download": "other.jpg"},
        {"content_type": "text/html"},
        {"more": "1"},
    ],
)
def test_what_was_changed_is_refused(change: dict[str, str]) -> None:
    key, query = as_asked(a_signer().sign(KEY, valid_for=QUARTER, now=NOW, download="a.jpg").url)
    assert a_signer().verify(key, query, NOW)
    assert not a_signer().verify(key, query | change, NOW)


def test_another_key_or_secret_or_a_part_left_out_is_refused() -> None:
    key, query = as_asked(a_signer().sign(KEY, valid_for=QUARTER, now=NOW, download="a.jpg").url)
    assert not a_signer().verify("crop/2025/01/15/evt_abc123_crop.jpg", query, NOW)
    assert not a_signer(b"another").verify(key, query, NOW)
    for name in query:
        assert not a_signer().verify(key, {other: value for other, value in query.items() if other != name}, NOW)


def test_all_nodes_give_one_path_within_a_window() -> None:
    urls = {a_signer().sign(KEY, valid_for=QUARTER, now=NOW + timedelta(seconds=second)).url for second in range(200)}
    assert len(urls) == 1


def test_a_validity_out_of_bounds_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        a_signer().sign(KEY, valid_for=timedelta(days=8), now=NOW)


@pytest.mark.parametrize("shift", ["-400d", "+400d"])
def test_a_wrong_clock_of_the_process_removes_no_file_that_another_one_writes(tmp_path: Path, shift: str) -> None:
    store = tmp_path / "store"
    LocalStore.open(store)
    for name, hours_ago in (("young", 0.5), ("abandoned", 1.5)):
        (store / "tmp" / name).touch()
        moment = time.time() - hours_ago * 3600
        os.utime(store / "tmp" / name, (moment, moment))
    program = "import sys, pathlib; from platevault.infra.objectstore.local import LocalStore; LocalStore.open(pathlib.Path(sys.argv[1]))"
    environment = inherited_environment() | shifted(shift, folder=tmp_path)
    subprocess.run([sys.executable, "-c", program, str(store)], env=environment, check=True, timeout=90)
    assert [path.name for path in (store / "tmp").iterdir()] == ["young"]
