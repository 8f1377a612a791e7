"""What only an S3 store can meet: wrong credentials, a missing bucket, no answer, and answers that no local server gives."""

import asyncio
import traceback
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from tests.support.servers import S3Server

from platevault.domain.errors import StoreMisconfigured, StoreUnavailable
from platevault.infra.disk.reserve import DiskRoom
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.store import S3Store

SERVERS = ("seaweed", "minio")
IMAGE = NewObject(data=b"jpeg", content_type="image/jpeg", metadata={"who": "me"})


async def first_listed(store: S3Store) -> object:
    return await anext(store.list("full/"), None)


METHODS: dict[str, Callable[[S3Store], Awaitable[Any]]] = {
    "create": lambda store: store.create("full/x.jpg", IMAGE),
    "replace": lambda store: store.replace("full/x.jpg", IMAGE, etag='"x"'),
    "get": lambda store: store.get("full/x.jpg"),
    "stat": lambda store: store.stat("full/x.jpg"),
    "copy": lambda store: store.copy("full/x.jpg", "holds/full/x.jpg"),
    "copy with metadata": lambda store: store.copy("full/x.jpg", "holds/full/x.jpg", metadata={}),
    "delete": lambda store: store.delete("full/x.jpg"),
    "list": first_listed,
    "check": lambda store: store.check(),
}

every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def a_store(endpoint: str, **changes: Any) -> S3Store:
    settings: dict[str, Any] = {
        "endpoint": endpoint,
        "secure": False,
        "region": "us-east-1",
        "bucket": "alpr-images",
        "access_key": "SOMEBODYSKEYID",
        "secret_key": "SOMEBODYSSECRET",
    }
    return S3Store.open(**(settings | changes))


@pytest.fixture(params=SERVERS)
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue(request.param)
    return {
        "endpoint": server.endpoint,
        "region": server.region,
        "bucket": server.bucket,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }


@dataclass
class Canned:
    """A server that answers every request alike, and keeps what it was asked."""

    answer: bytes | None
    endpoint: str = ""
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if self.answer is not None:
            writer.write(self.answer)
            await writer.drain()
            writer.close()
        else:
            await reader.read()
            writer.close()


@asynccontextmanager
async def canned(
    status: str | None,
    body: bytes = b"",
    *,
    length: int | None = None,
    date: datetime | None = None,
) -> AsyncIterator[Canned]:
    answer = None
    if status is not None:
        stamp = format_datetime(date or datetime.now(UTC), usegmt=True)
        size = len(body) if length is None else length
        head = f'HTTP/1.1 {status}\r\nContent-Length: {size}\r\nDate: {stamp}\r\nETag: "e"\r\nConnection: close\r\n'
        answer = head.encode() + b"Last-Modified: Wed, 15 Jan 2025 09:30:00 GMT\r\n\r\n" + body
    server = Canned(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening:
        yield server


def an_error(code: str) -> bytes:
    """As AWS words it: with the key id, and all that was signed."""
    return (
        f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message><AWSAccessKeyId>SOMEBODYSKEYID"
        "</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256 X-Amz-Signature=abc</StringToSign></Error>"
    ).encode()


@every_method
async def test_a_wrong_secret_is_a_setting_to_mend(settings: dict[str, Any], method: Callable[[S3Store], Any]) -> None:
    secret = uuid.uuid4().hex
    store = a_store(**settings | {"secret_key": secret})
    with pytest.raises(StoreMisconfigured) as caught:
        await method(store)
    told = "".join(traceback.format_exception(caught.value))
    assert settings["access_key"] not in told
    assert secret not in told


@every_method
async def test_an_unknown_key_is_a_setting_to_mend(settings: dict[str, Any], method: Callable[[S3Store], Any]) -> None:
    key_id = uuid.uuid4().hex
    with pytest.raises(StoreMisconfigured) as caught:
        await method(a_store(**settings | {"access_key": key_id}))
    assert key_id not in "".join(traceback.format_exception(caught.value))


@every_method
async def test_a_missing_bucket_is_a_setting_to_mend(
    settings: dict[str, Any], method: Callable[[S3Store], Any]
) -> None:
    with pytest.raises(StoreMisconfigured):
        await method(a_store(**settings | {"bucket": "no-such-bucket-here"}))


@every_method
async def test_a_server_that_is_down_is_unavailable(method: Callable[[S3Store], Any]) -> None:
    async with canned("200 OK") as server:
        endpoint = server.endpoint
    with pytest.raises(StoreUnavailable) as caught:
        await method(a_store(endpoint))
    assert not isinstance(caught.value, StoreMisconfigured)


async def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    async with canned(None) as server:
        began = asyncio.get_running_loop().time()
        quick = [METHODS[name](a_store(server.endpoint)) for name in ("create", "replace", "stat", "delete", "check")]
        results = await asyncio.gather(*quick, return_exceptions=True)
        assert asyncio.get_running_loop().time() - began < 8
    assert [type(result) for result in results] == [StoreUnavailable] * len(quick)


async def test_a_large_put_is_given_longer_than_a_small_one() -> None:
    async with canned(None) as server:
        large = NewObject(data=bytes(4 * 1024 * 1024), content_type="image/jpeg", metadata={})
        began = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailable):
            await a_store(server.endpoint).create("full/x.jpg", large)
        assert 7 < asyncio.get_running_loop().time() - began < 13


@every_method
async def test_each_call_tries_once(method: Callable[[S3Store], Any]) -> None:
    async with canned("503 Slow Down", an_error("SlowDown")) as server:
        with pytest.raises(StoreUnavailable, match=r"SlowDown|503"):
            await method(a_store(server.endpoint))
        assert len(server.asked) == 1


async def test_two_conditional_puts_at_once_are_to_be_tried_again() -> None:
    async with canned("409 Conflict", an_error("ConditionalRequestConflict")) as server:
        with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
            await a_store(server.endpoint).create("full/x.jpg", IMAGE)
        with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict"):
            await a_store(server.endpoint).replace("full/x.jpg", IMAGE, etag='"x"')


async def test_replacing_what_is_gone_is_false_on_servers_that_say_404() -> None:
    async with canned("404 Not Found", an_error("NoSuchKey")) as server:
        assert await a_store(server.endpoint).replace("full/x.jpg", IMAGE, etag='"x"') is False


async def test_no_error_tells_a_key_id_or_what_was_signed() -> None:
    async with canned("403 Forbidden", an_error("SignatureDoesNotMatch")) as server:
        for method in METHODS.values():
            with pytest.raises(StoreMisconfigured) as caught:
                await method(a_store(server.endpoint))
            told = "".join(traceback.format_exception(caught.value))
            assert "SOMEBODYSKEYID" not in told
            assert "X-Amz-Signature" not in told


@pytest.mark.parametrize(("ahead", "word"), [(timedelta(minutes=20), "behind"), (timedelta(minutes=-20), "ahead")])
async def test_a_wrong_clock_is_named_with_its_error(ahead: timedelta, word: str) -> None:
    async with canned("403 Forbidden", an_error("RequestTimeTooSkewed"), date=datetime.now(UTC) + ahead) as server:
        with pytest.raises(StoreMisconfigured, match=rf"clock.*about (1199|1200|1201) s .*{word}"):
            await a_store(server.endpoint).create("full/x.jpg", IMAGE)


@pytest.mark.parametrize(
    ("status", "code", "hint"),
    [
        ("301 Moved Permanently", "PermanentRedirect", "MINIO_REGION"),
        ("400 Bad Request", "AuthorizationHeaderMalformed", "MINIO_REGION"),
        ("404 Not Found", "NoSuchBucket", "bucket configure"),
    ],
)
async def test_a_setting_to_mend_is_named(status: str, code: str, hint: str) -> None:
    async with canned(status, an_error(code)) as server:
        with pytest.raises(StoreMisconfigured, match=hint):
            await a_store(server.endpoint).create("full/x.jpg", IMAGE)


async def test_tls_to_a_server_without_it_names_the_setting(settings: dict[str, Any]) -> None:
    with pytest.raises(StoreMisconfigured, match="MINIO_SECURE"):
        await a_store(**settings | {"secure": True}).get("full/x.jpg")


async def test_a_port_that_speaks_no_s3_names_the_settings() -> None:
    async with canned("400 Bad Request", b"Client sent an HTTP request to an HTTPS server.") as server:
        with pytest.raises(StoreMisconfigured, match="MINIO_SECURE"):
            await a_store(server.endpoint).get("full/x.jpg")


async def test_a_key_that_no_client_can_name_is_said_to_be_in_the_way() -> None:
    listing = (
        b"<?xml version='1.0'?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>full/a//b</Key>"
        b"<LastModified>2025-01-15T09:30:00.000Z</LastModified><ETag>e</ETag><Size>1</Size></Contents></ListBucketResult>"
    )
    async with canned("200 OK", listing) as server:
        with pytest.raises(StoreMisconfigured, match="remove it"):
            await first_listed(a_store(server.endpoint))


async def test_bytes_that_end_early_are_no_object() -> None:
    async with canned("200 OK", b"half", length=8) as server:
        with pytest.raises(StoreUnavailable):
            await a_store(server.endpoint).get("full/x.jpg")


async def test_a_put_carries_the_digest_of_its_bytes() -> None:
    async with canned("200 OK") as server:
        assert await a_store(server.endpoint).create("full/x.jpg", IMAGE)
        head = server.asked[0].decode().lower()
    assert "x-amz-checksum-sha256:qev4fp8ovi0hujgxgwtjiwnwrsdygpdd+kljqfnmhwe=" in head
    assert "if-none-match:*" in head
    assert head.startswith("put /alpr-images/full/x.jpg ")


async def test_a_server_that_ignores_conditions_is_refused() -> None:
    async with canned("200 OK") as server:
        with pytest.raises(StoreMisconfigured, match="If-Match"):
            await a_store(server.endpoint).check()


async def test_a_right_to_read_alone_does_not_pass_the_check(
    settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue(request.node.callspec.params["settings"])
    reader = {"access_key": server.presign_access_key, "secret_key": server.presign_secret_key}
    with pytest.raises(StoreMisconfigured):
        await a_store(**settings | reader).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SESSION_TOKEN", "somebody elses"),
        ("AWS_SKIP_SIGNATURE", "true"),
        ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms"),
        ("HTTP_PROXY", "http://127.0.0.1:9"),
    ],
)
async def test_the_shell_of_an_operator_does_not_turn_the_store_elsewhere(
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv(name, value)
    store = a_store(**settings)
    await store.check()
    await store.create("temp/environment", IMAGE)
    await store.delete("temp/environment")


async def test_the_disk_of_a_server_that_does_not_sync_is_synced_on_settle() -> None:
    synced = []
    store = a_store("127.0.0.1:9", sync=lambda: synced.append(True))
    await store.settle()
    assert synced == [True]


PUTS: dict[str, Callable[[S3Store], Awaitable[object]]] = {
    "create": lambda store: store.create("full/x.jpg", IMAGE),
    "replace": lambda store: store.replace("full/x.jpg", IMAGE, etag='"1"'),
    "copy": lambda store: store.copy("full/x.jpg", "holds/full/x.jpg"),
}


@pytest.mark.parametrize("put", PUTS.values(), ids=PUTS.keys())
async def test_a_server_whose_disk_of_this_machine_is_full_is_not_asked_to_put(
    put: Callable[[S3Store], Awaitable[object]], tmp_path: Path
) -> None:
    full = a_store("127.0.0.1:9").within(DiskRoom(tmp_path, reserve_bytes=1 << 60))
    with pytest.raises(StoreUnavailable, match="the disk of the object store is full"):
        await put(full)
    for store in (a_store("127.0.0.1:9").within(DiskRoom(tmp_path, reserve_bytes=0)), a_store("127.0.0.1:9")):
        with pytest.raises(StoreUnavailable) as asked:
            await put(store)
        assert "is full" not in str(asked.value)


async def test_a_full_disk_leaves_reads_records_and_the_check_of_a_server_what_they_are(
    seaweed: S3Server, tmp_path: Path
) -> None:
    identity = {"access_key": seaweed.access_key, "secret_key": seaweed.secret_key}
    store = a_store(seaweed.endpoint, **identity).within(DiskRoom(tmp_path, reserve_bytes=1 << 60))
    with pytest.raises(StoreUnavailable, match="MiB are free and the reserve is"):
        await store.check()
    assert await store.get("full/none.jpg") is None
    assert await store.create("meta/erasures/of-a-full-disk", IMAGE)
    await store.delete("meta/erasures/of-a-full-disk")
