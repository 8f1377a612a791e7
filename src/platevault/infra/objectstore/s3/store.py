"""Image bytes in S3: MinIO, SeaweedFS, AWS or any other server that speaks it."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import TypeVar

import obstore
from obstore.exceptions import BaseError, InvalidPathError, PreconditionError
from obstore.store import S3Store as Client

from platevault.domain.errors import ObjectRefused, StoreMisconfigured, StoreUnavailable
from platevault.domain.object_keys import CHECK_KEY, TEMP
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.objectstore import NewObject, StoredObject
from platevault.infra.objectstore.full_disk import refuse_full_disk
from platevault.infra.objectstore.group_sync import SharedSync
from platevault.infra.objectstore.key_rules import check_key
from platevault.infra.objectstore.s3.errors import (
    NO_SUCH_BUCKET,
    OTHER_DIGEST,
    SKEWED,
    code_of,
    refused,
    status_of,
    unreachable,
)
from platevault.infra.objectstore.s3.grouped_puts import GROUPED_BYTES_MAX
from platevault.infra.objectstore.s3.proxied_put import ProxiedPutClient, is_behind_a_proxy
from platevault.infra.objectstore.s3.put import ALWAYS, IF_ABSENT, Condition, PutClient
from platevault.infra.objectstore.s3.told_time import measured_skew, told_time

CONNECT_TIMEOUT = timedelta(seconds=2)
ANSWER_SECONDS = 5.0
ANSWER_SECONDS_MAX = 30.0
SLOWEST_BYTES_PER_SECOND = 1024 * 1024
GROUPED_SECONDS = ANSWER_SECONDS + GROUPED_BYTES_MAX / SLOWEST_BYTES_PER_SECOND
IDLE_CONNECTIONS_MAX = 64
PAGE_SIZE = 1000
# Each request has buffers of its own in the client library, larger than a part.
PART_READS_AT_ONCE = 16

_NOBODYS_ETAG = '"00000000000000000000000000000000"'

_STANDARD_ATTRIBUTES = frozenset(
    {"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Type", "Cache-Control", "Storage-Class"},
)
_DONE = range(200, 300)
_LOOPBACK = ("127.", "localhost", "[::1]")

_Answer = TypeVar("_Answer")


class S3Store:
    """An `ObjectStore` in one bucket of an S3 server. It tries once, creates no bucket, and signs what it sends.

    A put carries the SHA-256 of its bytes, which the server compares: what it acknowledges is what we had.
    """

    def __init__(
        self,
        client: Client,
        puts: PutClient | ProxiedPutClient,
        *,
        host: str,
        secure: bool,
        sync: Callable[[], None] | None,
    ) -> None:
        self._room: DiskRoom | None = None
        self._client = client
        self._puts = puts
        self._host = host
        self._part_reads = asyncio.Semaphore(PART_READS_AT_ONCE)
        self._secure = secure
        self._proxied = isinstance(puts, ProxiedPutClient)
        self._sync = None if sync is None else SharedSync(sync)
        self.grouped_puts = (
            None
            if isinstance(puts, ProxiedPutClient)
            else puts.grouped(seconds=GROUPED_SECONDS, has_room=self._has_room)
        )
        """Puts of many small objects at once; None behind a proxy."""
        self._compares: bool | None = False if self._proxied else None

    @classmethod
    def open(
        cls,
        *,
        endpoint: str,
        secure: bool,
        region: str,
        bucket: str,
        access_key: str,
        secret_key: str,
        sync: Callable[[], None] | None = None,
    ) -> "S3Store":
        """A store for `endpoint` (host:port); no request is made.

        `sync` makes the server's disk durable, for a server that acknowledges before it syncs; None: it syncs itself.
        """
        with _no_other_settings(endpoint):
            client = Client(
                bucket,
                endpoint=f"{'https' if secure else 'http'}://{endpoint}",
                region=region,
                access_key_id=access_key,
                secret_access_key=secret_key,
                virtual_hosted_style_request=False,
                conditional_put="etag",
                checksum_algorithm="SHA256",
                disable_bulk_delete=True,
                retry_config={"max_retries": 0},
                client_options={
                    "allow_http": not secure,
                    "http1_only": True,
                    "connect_timeout": CONNECT_TIMEOUT,
                    "timeout": timedelta(seconds=ANSWER_SECONDS_MAX),
                    "pool_max_idle_per_host": str(IDLE_CONNECTIONS_MAX),
                    "user_agent": "platevault",
                },
            )
            # In here too: a server on this machine is reached directly, whatever proxy is named.
            puts: PutClient | ProxiedPutClient = ProxiedPutClient(client)
            if not is_behind_a_proxy(endpoint, secure=secure):
                puts = PutClient(
                    endpoint=endpoint,
                    secure=secure,
                    region=region,
                    bucket=bucket,
                    access_key=access_key,
                    secret_key=secret_key,
                )
        return cls(client, puts, host=endpoint, secure=secure, sync=sync)

    def within(self, room: DiskRoom) -> "S3Store":
        """Return this store. It now refuses puts that would use the reserve of the server's disk, on this machine."""
        self._room = room
        return self

    async def create(self, key: str, new: NewObject) -> bool:
        """Put, unless something is there: True when written."""
        return await self._put(key, new, condition=IF_ABSENT)

    async def replace(self, key: str, new: NewObject, *, etag: str) -> bool:
        """Put, only over the object with this etag."""
        return await self._put(key, new, condition=Condition(etag=etag))

    async def get(self, key: str) -> bytes | None:
        """All bytes under the key."""

        async def read() -> bytes:
            answer = await obstore.get_async(self._client, check_key(key))
            return bytes(await answer.bytes_async())

        return await self._unless_absent(f"get {key}", read(), seconds=ANSWER_SECONDS_MAX)

    async def read(self, key: str, *, offset: int, size: int, etag: str) -> bytes | None:
        """Read `size` bytes from `offset` of the object with this etag.

        Each part is a request of its own: a slow reader holds no connection to the store, and no deadline ends it.
        """

        async def read() -> bytes | None:
            async with self._part_reads:
                return await one_part()

        async def one_part() -> bytes | None:
            with suppress(PreconditionError):
                options: obstore.GetOptions = {"range": (offset, offset + size), "if_match": etag}
                answer = await obstore.get_async(self._client, check_key(key), options=options)
                return bytes(await answer.bytes_async())
            return None

        part = await self._unless_absent(f"get {key}", read(), seconds=ANSWER_SECONDS_MAX)
        return part if part is not None and len(part) == size else None

    async def stat(self, key: str) -> StoredObject | None:
        """What stands under the key, without its bytes."""
        check_key(key)
        head = obstore.get_async(self._client, key, options={"head": True})
        try:
            return _described(key, await self._try(f"look at {key}", head))
        except FileNotFoundError:
            # A 404 to HEAD has no body: only a GET tells an absent object from an absent bucket.
            answer = await self._unless_absent(f"look at {key}", obstore.get_async(self._client, key))
            return None if answer is None else _described(key, answer)

    async def copy(self, source: str, target: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Copy within the bucket, replacing `target`; with new metadata the bytes pass through here."""
        check_key(source), check_key(target)
        doing = f"copy {source} to {target}"
        if metadata is None:
            self._refuse_full_disk(target)
            work = obstore.copy_async(self._client, source, target)
            return await self._unless_absent(doing, _true_after(work), seconds=ANSWER_SECONDS_MAX) is not None

        async def read() -> tuple[StoredObject, bytes]:
            answer = await obstore.get_async(self._client, source)
            return _described(source, answer), bytes(await answer.bytes_async())

        found = await self._unless_absent(doing, read(), seconds=ANSWER_SECONDS_MAX)
        if found is None:
            return False
        old, data = found
        new = NewObject(data=data, content_type=old.content_type, metadata=metadata, cache_control=old.cache_control)
        return await self._put(target, new, condition=ALWAYS)

    async def delete(self, key: str) -> None:
        """Nothing stands under the key afterwards."""
        await self._unless_absent(f"delete {key}", _true_after(obstore.delete_async(self._client, check_key(key))))

    async def list(self, prefix: str) -> AsyncIterator[tuple[str, int, datetime]]:
        """(key, size in bytes, modified at) of all under the prefix, in the server's order, which is key order in S3."""
        # S3 matches any prefix, the client library whole folders only: the rest is sorted out here.
        folder = prefix.rpartition("/")[0] or None
        pages = obstore.list(self._client, folder, chunk_size=PAGE_SIZE)
        while True:
            page = await self._try(f"list {prefix}", anext(pages, None), seconds=ANSWER_SECONDS_MAX)
            if page is None:
                return
            for meta in page:
                if meta["path"].startswith(prefix):
                    yield meta["path"], meta["size"], meta["last_modified"]

    async def settle(self) -> None:
        """When this returns, every object put before the call survives a power cut."""
        if self._sync is not None:
            await self._sync.settle()

    async def check(self) -> None:
        """Return when a put would be taken: the bucket is there, and a put that must fail fails for the right reason."""
        # The read comes first: some servers make a missing bucket for whoever puts into it.
        await self._unless_absent("check the bucket", obstore.get_async(self._client, CHECK_KEY))
        self._refuse_full_disk()
        empty = NewObject(data=b"", content_type="application/octet-stream", metadata={})
        if await self.replace(CHECK_KEY, empty, etag=_NOBODYS_ETAG):
            await self.delete(CHECK_KEY)
            raise StoreMisconfigured("the object store ignores If-Match: conditional writes are needed")

    async def time(self) -> datetime | None:
        """Return the `Date` of an answer of the store."""
        return await asyncio.to_thread(told_time, self._host, secure=self._secure, proxied=self._proxied)

    async def compares(self) -> bool:
        """True if the server refuses bytes that do not have their digest. It was asked with a small object once."""
        if self._compares is None:
            key = f"{TEMP}probe/{secrets.token_hex(16)}"
            wrong = NewObject(data=b"probe", content_type="application/octet-stream", metadata={}, sha256=bytes(32))
            try:
                await self._put(key, wrong, condition=ALWAYS)
            except ObjectRefused as error:
                self._compares = any(code in str(error) for code in OTHER_DIGEST)
            except StoreUnavailable:
                return False
            else:
                self._compares = False
                with suppress(StoreUnavailable):  # what is left under temp/ expires
                    await self.delete(key)
        return self._compares

    async def close(self) -> None:
        """Let go of connections: the client library's close with it, which nothing else holds."""
        self._puts.close()

    async def _put(self, key: str, new: NewObject, *, condition: Condition) -> bool:
        size = new.data.nbytes if isinstance(new.data, memoryview) else len(new.data)
        self._refuse_full_disk(key, size)
        try:
            answer = await self._puts.put(check_key(key), new, condition=condition, seconds=_seconds_for(size))
        except OSError as error:
            raise unreachable(f"put {key}", error) from error
        if answer.status in _DONE:
            return True
        code = code_of(answer.body.decode(errors="replace"))
        if not condition.is_none and _is_about_the_condition(answer.status, code):
            return False
        raise await self._refused(f"put {key}", status=answer.status, code=code)

    def _has_room(self, size: int) -> bool:
        try:
            self._refuse_full_disk(size=size)
        except StoreUnavailable:
            return False
        return True

    def _refuse_full_disk(self, key: str = "", size: int = 0) -> None:
        if self._room is not None:
            refuse_full_disk(self._room, key=key, size=size)

    async def _unless_absent(
        self,
        doing: str,
        work: Awaitable[_Answer],
        *,
        seconds: float = ANSWER_SECONDS,
    ) -> _Answer | None:
        try:
            return await self._try(doing, work, seconds=seconds)
        except FileNotFoundError as error:
            if code_of(str(error)) == NO_SUCH_BUCKET:
                raise await self._fault(doing, error) from None
            return None

    async def _try(self, doing: str, work: Awaitable[_Answer], *, seconds: float = ANSWER_SECONDS) -> _Answer:
        """One attempt with a deadline. A 404 comes out as it is: the caller knows what it means."""
        try:
            async with asyncio.timeout(seconds):
                return await work
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            fault = await self._fault(doing, error)
            # An answer's text may hold the key id and what was signed, and its code says all: it is not kept as cause.
            raise fault from (None if status_of(str(error)) else error)

    async def _fault(self, doing: str, error: Exception) -> StoreUnavailable:
        status, code = status_of(str(error)), code_of(str(error))
        if isinstance(error, InvalidPathError):
            return StoreMisconfigured(
                f"could not {doing}: some object there, not of ours, has a key with an empty part or a control character: "
                "remove it with an S3 client",
            )
        if status is None:
            return unreachable(doing, error)
        return await self._refused(doing, status=status, code=code)

    async def _refused(self, doing: str, *, status: int, code: str | None) -> StoreUnavailable:
        detail = ""
        if code == SKEWED:
            skew = await asyncio.to_thread(measured_skew, self._host, secure=self._secure, proxied=self._proxied)
            if skew is not None:
                detail = f" by about {abs(skew.total_seconds()):.0f} s (this one is {'ahead' if skew > timedelta() else 'behind'})"
        return refused(doing, status=status, code=code, detail=detail)


def _is_about_the_condition(status: int, code: str | None) -> bool:
    """412, or where nothing stands that If-Match could match, 404; AWS's 409 is a race that has to be run again."""
    return status == HTTPStatus.PRECONDITION_FAILED or code == "NoSuchKey"


async def _true_after(work: Awaitable[None]) -> bool:
    await work
    return True


def _seconds_for(size: int) -> float:
    return min(ANSWER_SECONDS_MAX, ANSWER_SECONDS + size / SLOWEST_BYTES_PER_SECOND)


def _described(key: str, answer: "obstore.GetResult") -> StoredObject:
    attributes = answer.attributes
    return StoredObject(
        key=key,
        size=answer.meta["size"],
        content_type=attributes.get("Content-Type", ""),
        cache_control=attributes.get("Cache-Control", ""),
        metadata={name.lower(): value for name, value in attributes.items() if name not in _STANDARD_ATTRIBUTES},
        etag=answer.meta["e_tag"] or "",
        modified_at=answer.meta["last_modified"],
    )


@contextmanager
def _no_other_settings(host: str) -> Iterator[None]:
    """Keep the client library from reading AWS_* (another endpoint, a session token, no signature) while it is set up.

    A proxy of the environment is meant for the outside: a server on this machine is reached directly.
    """

    def foreign(name: str) -> bool:
        return name.startswith("AWS_") or (
            host.startswith(_LOOPBACK) and name.lower() in {"http_proxy", "https_proxy", "all_proxy"}
        )

    taken = {name: os.environ.pop(name) for name in list(os.environ) if foreign(name)}
    try:
        yield
    finally:
        os.environ.update(taken)
