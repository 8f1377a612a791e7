"""Objects as files in a folder, for sites without an object store, and the URLs that the service signs itself."""

import asyncio
import fcntl
import hashlib
import hmac
import os
import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

from platevault.domain.errors import ObjectRefused, StoreMisconfigured, StoreUnavailable
from platevault.infra.disk.local_disk import remove_abandoned, sync_folder
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.objectstore import NewObject, SignedUrl, StoredObject
from platevault.infra.objectstore.full_disk import refuse_full_disk
from platevault.infra.objectstore.key_rules import check_key
from platevault.infra.objectstore.local_metadata import LocalMetadata, encode_local_metadata, read_local_metadata
from platevault.infra.objectstore.signing_windows import window_of

LOCKS = 64
ABANDONED_AFTER_SECONDS = 3600
PAGE_SIZE = 1000

OBJECTS_PATH = "/v1/objects/"
_SIGNED_PARAMETERS = frozenset({"expires", "signature", "download", "content_type"})

_Answer = TypeVar("_Answer")


class LocalStore:
    """An `ObjectStore` in a folder of a local file system: `objects/{key}` holds the bytes, `sidecars/{key}.json` the rest.

    A put is durable when it returns: the sidecar is written and synced first, then the synced bytes get their name. A crash
    in between leaves a sidecar without bytes, which counts as absent. Several processes may share the folder: a lock by
    key (flock) keeps a name and its sidecar together.
    """

    def __init__(self, folder: Path, *, disk_reserve_bytes: int | None) -> None:
        self._room = DiskRoom(folder, reserve_bytes=disk_reserve_bytes)
        self._root = folder
        self._objects = folder / "objects"
        self._sidecars = folder / "sidecars"
        self._tmp = folder / "tmp"
        self._locks = folder / "locks"
        self._synced_folders: set[Path] = set()

    @classmethod
    def open(cls, folder: Path, *, disk_reserve_bytes: int | None = None) -> "LocalStore":
        """A store in `folder`, made when absent, rid of what crashed puts left behind. Blocks; raises `StoreMisconfigured`.

        A put that would take the reserve of its disk is refused; `disk_reserve_bytes` None is the default share.
        """
        store = cls(folder.absolute(), disk_reserve_bytes=disk_reserve_bytes)
        try:
            for part in (store._objects, store._sidecars, store._tmp, store._locks):
                store._make_folder(part)
            remove_abandoned(store._tmp, older_than_seconds=ABANDONED_AFTER_SECONDS)
        except OSError as error:
            raise StoreMisconfigured(f"LOCAL_STORAGE_DIR: cannot use {folder}: {error.strerror}") from error
        return store

    async def create(self, key: str, new: NewObject) -> bool:
        """Put, unless something is there: True when written."""
        return await _in_thread(f"put {key}", lambda: self._write(check_key(key), new, lambda found: found is None))

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        """Put, only over the object with this etag."""
        return await _in_thread(
            f"put {key}",
            lambda: self._write(check_key(key), new, lambda found: found is not None and found.etag == etag),
        )

    async def get(self, key: str) -> bytes | None:
        """All bytes under the key."""
        return await _in_thread(f"get {key}", lambda: self._read(check_key(key)))

    async def read(self, key: str, *, offset: int, size: int, etag: str) -> bytes | None:
        """Read `size` bytes from `offset` of the object with this etag."""
        return await _in_thread(f"get {key}", lambda: self._read_part(check_key(key), offset, size, etag))

    async def stat(self, key: str) -> StoredObject | None:
        """What stands under the key, without its bytes."""

        def look() -> StoredObject | None:
            with self._locked(check_key(key)):
                return self._look(key)

        return await _in_thread(f"look at {key}", look)

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Copy, replacing `target`; False when `source` is absent."""
        check_key(source), check_key(target)

        def copy() -> bool:
            with self._locked(source):
                old, data = self._look(source), self._read(source)
            if old is None or data is None:
                return False
            kept = old.metadata if metadata is None else metadata
            new = NewObject(data=data, content_type=old.content_type, metadata=kept, cache_control=old.cache_control)
            return self._write(target, new, lambda _found: True)

        return await _in_thread(f"copy {source} to {target}", copy)

    async def delete(self, key: str) -> None:
        """Nothing stands under the key afterwards, not even after a power cut."""

        def delete() -> None:
            with self._locked(check_key(key)):
                for path in (self._objects / key, self._sidecar(key)):
                    if path.exists():
                        path.unlink()
                        sync_folder(path.parent)

        await _in_thread(f"delete {key}", delete)

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        """(key, size in bytes, modified at) of all under the prefix, in key order."""
        self._must_be_there()
        found = _walk(self._objects, "", prefix)
        while page := await _in_thread(f"list {prefix}", lambda: list(islice(found, PAGE_SIZE))):
            for item in page:
                yield item

    async def settle(self) -> None:
        """Every put was durable when it returned."""

    async def check(self) -> None:
        """Return when a put would be taken: a byte is written, synced, linked and removed."""

        def check() -> None:
            self._must_be_there()
            refuse_full_disk(self._room)
            written = self._temporary(b"?")
            linked = written.with_suffix(".link")
            try:
                linked.hardlink_to(written)
            finally:
                linked.unlink(missing_ok=True)
                written.unlink()

        await _in_thread("write to LOCAL_STORAGE_DIR", check)

    async def time(self) -> datetime:
        """Return the time of this machine, which dates the files."""
        return datetime.now(UTC)

    async def compares(self) -> bool:
        """True: the digest of what is written is made anyway."""
        return True

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _write(self, key: str, new: NewObject, may_follow: Callable[[StoredObject | None], bool]) -> bool:
        refuse_full_disk(self._room, key=key, size=len(new.data))
        sha256 = hashlib.sha256(new.data).hexdigest()
        if new.sha256 is not None and new.sha256.hex() != sha256:
            raise ObjectRefused(f"could not put {key}: its bytes do not have its digest")
        data = self._temporary(new.data)
        try:
            with self._locked(key):
                found = self._look(key)
                if not may_follow(found):
                    return False
                self._put_sidecar(key, _version(data, new, sha256))
                target = self._objects / key
                self._make_folder(target.parent)
                if found is None:
                    target.hardlink_to(data)  # fails, unlike a rename, when somebody else's file stands there by now
                else:
                    data.replace(target)
                sync_folder(target.parent)
                return True
        except FileExistsError:
            return False
        finally:
            data.unlink(missing_ok=True)

    def _put_sidecar(self, key: str, latest: LocalMetadata) -> None:
        target = self._sidecar(key)
        standing = _fitting(self._objects / key, read_local_metadata(target))
        # Until the bytes are renamed the version before still stands, and a crash may leave it standing.
        written = self._temporary(encode_local_metadata((latest,) if standing is None else (latest, standing)))
        self._make_folder(target.parent)
        written.replace(target)
        sync_folder(target.parent)

    def _look(self, key: str) -> StoredObject | None:
        path = self._objects / key
        if not path.is_file():
            return None
        about = path.stat()
        version = _fitting(path, read_local_metadata(self._sidecar(key))) or _unknown(path)
        return StoredObject(
            key=key,
            size=about.st_size,
            content_type=version.content_type,
            cache_control=version.cache_control,
            metadata=version.metadata,
            etag=version.etag,
            modified_at=datetime.fromtimestamp(about.st_mtime, UTC),
        )

    def _read(self, key: str) -> bytes | None:
        try:
            return (self._objects / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._must_be_there()
            return None

    def _read_part(self, key: str, offset: int, size: int, etag: str) -> bytes | None:
        try:
            with (self._objects / key).open("rb") as file:
                about = os.fstat(file.fileno())
                version = _version_at(about, read_local_metadata(self._sidecar(key)))
                # A file that lost its time is compared by its bytes: once, by `stat`, and not for each part.
                if version is not None and version.etag != etag:
                    return None
                part = os.pread(file.fileno(), size, offset)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            self._must_be_there()
            return None
        return part if len(part) == size else None

    def _must_be_there(self) -> None:
        """A disk that is not mounted must not read as a store without objects."""
        if not self._objects.is_dir():
            raise StoreMisconfigured(f"LOCAL_STORAGE_DIR: {self._objects} is not there: is the disk mounted?")

    def _sidecar(self, key: str) -> Path:
        return self._sidecars / f"{key}.json"

    def _temporary(self, data: bytes | bytearray | memoryview) -> Path:
        with tempfile.NamedTemporaryFile(dir=self._tmp, delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            except OSError:
                Path(file.name).unlink()
                raise
        return Path(file.name)

    def _make_folder(self, folder: Path) -> None:
        """The folder exists, and so after a power cut: its name is synced into the folder above, by this process too,
        since another one that made it may not have come that far.
        """
        if folder in self._synced_folders and folder.is_dir():
            return
        if folder.is_relative_to(self._root) or not folder.is_dir():
            self._make_folder(folder.parent)
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)
        self._synced_folders.add(folder)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        with (self._locks / f"{zlib.crc32(key.encode()) % LOCKS:02}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


class LocalUrlSigner:
    """A `UrlSigner` for objects that the service itself delivers, under `{public_url}/v1/objects/{key}`.

    The signature covers method, key, expiry and how the answer is to be named and typed; every node with the same
    `signing_key` makes and accepts the same URLs.
    """

    def __init__(self, *, public_url: str, signing_key: bytes) -> None:
        self._base = public_url.rstrip("/") + OBJECTS_PATH
        self._key = signing_key

    def sign(
        self,
        key: str,
        *,
        valid_for: timedelta,
        now: datetime,
        download: str | None = None,
        content_type: str | None = None,
    ) -> SignedUrl:
        """A URL for the object; `download` is the file name of a Content-Disposition: attachment."""
        window = window_of(now, valid_for)
        query = {"expires": str(window.ends_at)}
        if download is not None:
            query["download"] = download
        if content_type is not None:
            query["content_type"] = content_type
        query["signature"] = self._signature(key, query)
        return SignedUrl(
            url=f"{self._base}{quote(key, safe='/~')}?{urlencode(query)}",
            expires_at=datetime.fromtimestamp(window.ends_at, UTC),
        )

    def sign_all(self, keys: Sequence[str], *, valid_for: timedelta, now: datetime) -> tuple[list[str], datetime]:
        """(the URLs that `sign` would make, in order; until when they are valid)."""
        ends_at = datetime.fromtimestamp(window_of(now, valid_for).ends_at, UTC)
        return [self.sign(key, valid_for=valid_for, now=now).url for key in keys], ends_at

    def verify(self, key: str, query: Mapping[str, str], now: datetime) -> bool:
        """True for a key and decoded query that `sign` made, until they expire. For GET (and HEAD, which shows less)."""
        given = query.get("signature", "")
        expires = query.get("expires", "")
        if not (set(query) <= _SIGNED_PARAMETERS and given.isascii() and expires.isascii() and expires.isdigit()):
            return False
        # The comparison comes first and in constant time: a forged expiry tells nothing.
        fits = hmac.compare_digest(given, self._signature(key, query))
        return fits and len(expires) <= 12 and now.timestamp() < int(expires)

    def _signature(self, key: str, query: Mapping[str, str]) -> str:
        parts = ["GET", key, query["expires"]]
        parts += [f"{name}={query[name]}" for name in ("download", "content_type") if name in query]
        # Each part is preceded by its length: no two different requests are signed as the same text.
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256").hex()


async def _in_thread(doing: str, work: Callable[[], _Answer]) -> _Answer:
    try:
        return await asyncio.to_thread(work)
    except (PermissionError, FileNotFoundError) as error:
        raise StoreMisconfigured(f"could not {doing}: LOCAL_STORAGE_DIR: {error.strerror}") from error
    except OSError as error:
        raise StoreUnavailable(f"could not {doing}: {error.strerror}") from error


def _version(path: Path, new: NewObject, sha256: str) -> LocalMetadata:
    about = path.stat()
    return LocalMetadata(
        size=about.st_size,
        modified_ns=about.st_mtime_ns,
        sha256=sha256,
        content_type=new.content_type,
        cache_control=new.cache_control,
        metadata=dict(new.metadata),
    )


def _fitting(path: Path, versions: Sequence[LocalMetadata]) -> LocalMetadata | None:
    """The version that the file is: by size and time, and where a restored backup lost the time, by its bytes."""
    if not versions or not path.is_file():
        return None
    if (version := _version_at(path.stat(), versions)) is not None:
        return version
    sha256 = _digest(path)
    return next((version for version in versions if version.sha256 == sha256), None)


def _version_at(about: os.stat_result, versions: Sequence[LocalMetadata]) -> LocalMetadata | None:
    """The version of a file with this size and time."""
    there = (about.st_size, about.st_mtime_ns)
    return next((version for version in versions if (version.size, version.modified_ns) == there), None)


def _unknown(path: Path) -> LocalMetadata:
    """What can be said of a file that somebody else put there."""
    nothing = NewObject(data=b"", content_type="application/octet-stream", metadata={}, cache_control="")
    return _version(path, nothing, _digest(path))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _walk(folder: Path, base: str, prefix: str) -> Iterator[tuple[str, int, datetime]]:
    """Files in key order: a folder sorts with its slash, as its keys do."""
    try:
        entries = {
            entry.name + ("/" if entry.is_dir(follow_symlinks=False) else ""): entry for entry in os.scandir(folder)
        }
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in sorted(entries):
        key, entry = base + name, entries[name]
        if name.endswith("/"):
            if key.startswith(prefix) or prefix.startswith(key):
                yield from _walk(Path(entry.path), key, prefix)
        elif key.startswith(prefix) and entry.is_file(follow_symlinks=False):
            try:
                about = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield key, about.st_size, datetime.fromtimestamp(about.st_mtime, UTC)
