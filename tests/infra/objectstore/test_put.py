"""Puts against servers that answer late, early, in pieces, twice, not at all, or nothing that is HTTP; and over TLS."""

import asyncio
import contextlib
import hashlib
import shutil
import ssl
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.loops import on_each_loop

from platevault.domain.errors import InvalidRequest, ObjectRefused, StoreBusy, StoreMisconfigured, StoreUnavailable
from platevault.infra.objectstore import NewObject
from platevault.infra.objectstore.s3.proxied_put import is_behind_a_proxy
from platevault.infra.objectstore.s3.put import IF_ABSENT, PutClient
from platevault.infra.objectstore.s3.store import S3Store

IMAGE = NewObject(data=b"jpeg" * 100, content_type="image/jpeg", metadata={"who": "me"})
LARGE = NewObject(data=bytes(16 * 1024 * 1024), content_type="image/jpeg", metadata={})
STORED = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'
KEY = "full/2025/01/15/x_full.jpg"


def an_answer(status: str, code: str) -> bytes:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(frozen=True)
class Says:
    """What a server does with one request: sends `pieces` one by one after its body, or after its head; then may hang up."""

    pieces: tuple[bytes, ...] = (STORED,)
    hangs_up: bool = False
    reads_body: bool = True


@dataclass
class Scripted:
    """A server that takes one `Says` for each request, over whatever connection it comes; the last one again and again."""

    script: list[Says]
    endpoint: str = ""
    connections: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    open: set[asyncio.StreamWriter] = field(default_factory=set)
    has_a_body: asyncio.Event = field(default_factory=asyncio.Event)
    has_lost_one: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._one(reader, writer):
                pass
        writer.close()
        self.has_lost_one.set()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        says = self.script[min(len(self.heads), len(self.script) - 1)]
        self.heads.append(head)
        if says.reads_body:
            [size] = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            self.bodies.append(await reader.readexactly(int(size)))
            self.has_a_body.set()
        for piece in says.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return not says.hangs_up


@asynccontextmanager
async def scripted(*script: Says) -> AsyncIterator[Scripted]:
    server = Scripted(list(script))
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.endpoint = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in server.open:
            writer.close()


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


def some_puts(server: Scripted) -> PutClient:
    return PutClient(
        endpoint=server.endpoint, secure=False, region="us-east-1", bucket="b", access_key="k", secret_key="s"
    )


async def put(server: Scripted, new: NewObject = IMAGE) -> bool:
    store = a_store(server.endpoint)
    try:
        return await store.create(KEY, new)
    finally:
        await store.close()


@on_each_loop
async def test_one_connection_carries_one_put_after_the_other() -> None:
    async with scripted(Says()) as server:
        store = a_store(server.endpoint)
        for _ in range(5):
            assert await store.create(KEY, IMAGE)
        assert (server.connections, len(server.heads)) == (1, 5)
        assert server.bodies == [IMAGE.data] * 5
        await store.close()


@on_each_loop
async def test_puts_at_one_time_have_a_connection_each_and_get_their_own_answer() -> None:
    async with scripted(Says()) as server:
        store = a_store(server.endpoint)
        bodies = [str(number).encode() * 200_000 for number in range(8)]
        puts = (store.create(KEY, NewObject(data=body, content_type="image/jpeg", metadata={})) for body in bodies)
        assert await asyncio.gather(*puts) == [True] * 8
        assert 2 <= server.connections <= 8
        assert sorted(server.bodies) == sorted(bodies)
        await store.close()


@pytest.mark.parametrize("size", [1, 7, 1000])
@on_each_loop
async def test_an_answer_may_come_in_pieces_and_in_chunks(size: int) -> None:
    body = b"<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:20], body[20:])) + b"0\r\n\r\n"
    whole = b"HTTP/1.1 503 Slow Down\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    pieces = tuple(whole[at : at + size] for at in range(0, len(whole), size))
    async with scripted(Says(pieces), Says()) as server:
        store = a_store(server.endpoint)
        with pytest.raises(StoreBusy, match="SlowDown"):
            await store.create(KEY, IMAGE)
        assert await store.create(KEY, IMAGE)  # over the same connection: the answer was read to its end
        assert server.connections == 1
        await store.close()


@on_each_loop
async def test_a_server_that_wants_us_to_go_on_has_not_answered_yet() -> None:
    async with scripted(Says((b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n" + STORED))) as server:
        assert await put(server)
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
@on_each_loop
async def test_a_server_may_close_after_each_answer(answer: bytes) -> None:
    async with scripted(Says((answer,), hangs_up=True)) as server:
        store = a_store(server.endpoint)
        assert [await store.create(KEY, IMAGE) for _ in range(3)] == [True] * 3
        assert server.connections == 3


@on_each_loop
async def test_an_error_that_ends_with_the_connection_is_read_to_its_end() -> None:
    body = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    async with scripted(Says((b"HTTP/1.0 403 Forbidden\r\n\r\n", body[:9], body[9:]), hangs_up=True)) as server:
        with pytest.raises(StoreMisconfigured, match="AccessDenied"):
            await put(server)


@on_each_loop
async def test_a_connection_that_was_closed_while_nobody_used_it_is_not_the_puts_failure() -> None:
    async with scripted(Says(), Says((), hangs_up=True), Says()) as server:
        store = a_store(server.endpoint)
        assert await store.create(KEY, IMAGE)
        assert await store.create(KEY, IMAGE)  # the second request is swallowed, and goes out again on a new connection
        assert (server.connections, len(server.heads)) == (2, 3)
        await store.close()


@on_each_loop
async def test_a_replacement_goes_out_once_for_the_second_would_find_the_first_ones_etag() -> None:
    async with scripted(Says(), Says((), hangs_up=True), Says()) as server:
        store = a_store(server.endpoint)
        assert await store.create(KEY, IMAGE)
        with pytest.raises(StoreUnavailable):
            await store.replace(KEY, IMAGE, etag='"x"')
        assert len(server.heads) == 2


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTT",),
        (b"HTTP/1.1 200 OK\r\nContent-Le",),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",),
        (b"HTTP/1.1 100 Continue\r\n\r\n",),
        (b"220 mail.example ESMTP\r\n",),
        (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",),
        (b"\x15\x03\x01\x00\x02\x02\x46",),
    ],
)
@on_each_loop
async def test_half_an_answer_is_none_and_the_put_is_not_repeated(pieces: tuple[bytes, ...]) -> None:
    async with scripted(Says(pieces, hangs_up=True)) as server:
        with pytest.raises(StoreUnavailable) as caught:
            await put(server)
        assert type(caught.value) is StoreUnavailable
        assert len(server.heads) == 1


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        ("403 Forbidden", "AccessDenied", StoreMisconfigured),
        ("413 Request Entity Too Large", "EntityTooLarge", ObjectRefused),
        ("503 Slow Down", "SlowDown", StoreBusy),
        ("412 Precondition Failed", "PreconditionFailed", None),
    ],
)
@on_each_loop
async def test_an_answer_that_comes_before_the_body_is_sent_counts(
    status: str, code: str, error: type[StoreUnavailable] | None
) -> None:
    async with scripted(Says((an_answer(status, code),), reads_body=False), Says()) as server:
        store = a_store(server.endpoint)
        if error is None:
            assert await store.create(KEY, LARGE) is False
        else:
            with pytest.raises(error, match=code):
                await store.create(KEY, LARGE)
        assert await store.replace(KEY, IMAGE, etag='"x"')  # what was left of the body is no request
        assert server.connections == 2
        await store.close()


@on_each_loop
async def test_an_answer_without_end_is_cut() -> None:
    endless = tuple(b"x" * 60_000 for _ in range(200))
    async with scripted(Says((b"HTTP/1.1 500 Oh\r\nContent-Length: 99999999\r\n\r\n", *endless))) as server:
        with pytest.raises(ObjectRefused, match="500"):
            await put(server)
    async with scripted(Says((b"HTTP/1.1 200 OK\r\nX: ", *endless))) as server:
        with pytest.raises(StoreUnavailable, match="did not answer"):
            await put(server)


@on_each_loop
async def test_a_second_answer_that_nobody_asked_for_is_not_the_next_puts() -> None:
    other = an_answer("403 Forbidden", "AccessDenied")
    async with scripted(Says((STORED + other,)), Says()) as server:
        store = a_store(server.endpoint)
        assert await store.create(KEY, IMAGE)
        assert await store.create(KEY, IMAGE)
        assert server.connections == 2
        await store.close()


@on_each_loop
async def test_what_a_server_says_to_an_idle_connection_is_not_the_next_puts_answer() -> None:
    async with scripted(Says()) as server:
        store = a_store(server.endpoint)
        assert await store.create(KEY, IMAGE)
        [writer] = server.open
        writer.write(an_answer("408 Request Timeout", "RequestTimeout"))
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed() if writer.is_closing() else await asyncio.sleep(0.05)
        assert await store.create(KEY, IMAGE)
        assert server.connections == 2
        await store.close()


@on_each_loop
async def test_a_put_that_is_given_up_leaves_no_connection_in_the_middle_of_something() -> None:
    async with scripted(Says(()), Says()) as server:
        puts = some_puts(server)
        waiting = asyncio.create_task(puts.put(KEY, LARGE, condition=IF_ABSENT, seconds=600))
        await server.has_a_body.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(60):
            await server.has_lost_one.wait()
        assert (await puts.put(KEY, IMAGE, condition=IF_ABSENT, seconds=60)).status == 200
        assert server.connections == 2
        puts.close()


@pytest.mark.parametrize("pieces", [(), (b"HTTP/1.1 200",), (b"HTTP/1.1 500 Oh\r\nContent-Length: 9\r\n\r\n",)])
@on_each_loop
async def test_a_server_that_stops_half_way_is_given_up_in_time(pieces: tuple[bytes, ...]) -> None:
    async with scripted(Says(pieces)) as server:
        puts = some_puts(server)
        with pytest.raises(TimeoutError):
            await puts.put(KEY, IMAGE, condition=IF_ABSENT, seconds=0.2)


@on_each_loop
async def test_a_body_that_nobody_reads_is_given_up_in_time() -> None:
    async with scripted(Says((), reads_body=False), Says()) as server:
        puts = some_puts(server)
        with pytest.raises((TimeoutError, OSError)):
            await puts.put(KEY, LARGE, condition=IF_ABSENT, seconds=0.2)


@pytest.mark.parametrize("value", ["a\r\nx-amz-acl: public-read", "a\nb", "a\x00b", "ü"])
@on_each_loop
async def test_no_metadata_can_become_another_header(value: str) -> None:
    async with scripted(Says()) as server:
        with pytest.raises(InvalidRequest):
            await put(server, NewObject(data=b"x", content_type="image/jpeg", metadata={"who": value}))
        assert server.heads == []


@pytest.fixture(params=["seaweed", "minio"])
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    server = request.getfixturevalue(request.param)
    return {
        "endpoint": server.endpoint,
        "region": server.region,
        "bucket": server.bucket,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
    }


@on_each_loop
async def test_a_server_takes_no_other_bytes_than_those_of_the_digest(settings: dict[str, Any]) -> None:
    store, key = a_store(**settings), f"temp/{uuid.uuid4().hex}"
    wrong = NewObject(
        data=b"flipped", content_type="image/jpeg", metadata={}, sha256=hashlib.sha256(b"as it was").digest()
    )
    with pytest.raises(ObjectRefused):
        await store.create(key, wrong)
    assert await store.get(key) is None
    right = NewObject(
        data=b"as it was", content_type="image/jpeg", metadata={}, sha256=hashlib.sha256(b"as it was").digest()
    )
    assert await store.create(key, right)
    assert await store.get(key) == b"as it was"
    await store.close()


@pytest.mark.parametrize("value", ["two  spaces", " before", "after ", "a,b;c=d", "x" * 1500, ""])
@on_each_loop
async def test_metadata_with_spaces_is_signed_as_servers_read_it(settings: dict[str, Any], value: str) -> None:
    store, key = a_store(**settings), f"temp/{uuid.uuid4().hex}"
    assert await store.create(key, NewObject(data=b"x", content_type="image/jpeg", metadata={"who": value, "a-b": "c"}))
    await store.close()


# TLS: a door in front of a real server, that speaks it with a certificate nobody else has signed


@dataclass(frozen=True)
class Certificate:
    """Of 127.0.0.1; whoever trusts `authority` trusts it."""

    authority: Path
    chain: Path
    key: Path


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("a certificate")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n", encoding="ascii")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    for command in (
        ("req", "-x509", *curve, "-days", "2", "-subj", "/CN=an authority", "-keyout", "ca.key", "-out", "ca.pem"),
        ("req", *curve, "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "asked.pem"),
        (
            *("x509", "-req", "-in", "asked.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"),
            *("-extfile", "names", "-out", "cert.pem"),
        ),
    ):
        subprocess.run((program, *command), cwd=folder, check=True, capture_output=True)
    return Certificate(authority=folder / "ca.pem", chain=folder / "cert.pem", key=folder / "key.pem")


@asynccontextmanager
async def tls_door(endpoint: str, certificate: Certificate) -> AsyncIterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.chain, certificate.key)
    host, port = endpoint.split(":")
    going: set[asyncio.StreamWriter] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        going.update({writer, behind_writer})
        await asyncio.gather(carry(reader, behind_writer), carry(behind_reader, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()
        for writer in going:
            writer.close()
        await asyncio.sleep(0.05)


@on_each_loop
async def test_puts_go_over_tls_to_a_server_whose_certificate_is_trusted(
    settings: dict[str, Any], certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    async with tls_door(settings["endpoint"], certificate) as door:
        store, key = a_store(**settings | {"endpoint": door, "secure": True}), f"temp/{uuid.uuid4().hex}"
        assert await store.create(key, LARGE) is True
        assert await store.create(key, IMAGE) is False
        assert await store.create(f"{key}-2", IMAGE) is True
        assert await store.get(key) == LARGE.data
        await store.close()


@on_each_loop
async def test_a_certificate_that_is_not_trusted_is_a_setting_to_mend(
    settings: dict[str, Any], certificate: Certificate
) -> None:
    async with tls_door(settings["endpoint"], certificate) as door:
        with pytest.raises(StoreMisconfigured, match="certificate is not trusted"):
            await a_store(**settings | {"endpoint": door, "secure": True}).create(KEY, IMAGE)


@on_each_loop
async def test_a_trusted_certificate_of_another_host_is_not_trusted(
    settings: dict[str, Any], certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
    async with tls_door(settings["endpoint"], certificate) as door:
        elsewhere = door.replace("127.0.0.1", "localhost")
        with pytest.raises(StoreMisconfigured, match="certificate is not trusted"):
            await a_store(**settings | {"endpoint": elsewhere, "secure": True}).create(KEY, IMAGE)


@on_each_loop
async def test_tls_to_a_server_without_it_names_the_setting_for_a_put_too(settings: dict[str, Any]) -> None:
    with pytest.raises(StoreMisconfigured, match="MINIO_SECURE"):
        await a_store(**settings | {"secure": True}).create(KEY, IMAGE)


# A proxy on the way


@pytest.mark.parametrize(
    ("status", "outcome"), [("200 OK", True), ("412 Precondition Failed", False), ("403 Forbidden", StoreMisconfigured)]
)
@on_each_loop
async def test_where_the_environment_names_a_proxy_puts_go_through_it(
    monkeypatch: pytest.MonkeyPatch, status: str, outcome: bool | type[Exception]
) -> None:
    async with scripted(Says((f'HTTP/1.1 {status}\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n'.encode(),))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.endpoint}")
        store = a_store("store.example:9000")
        work: Callable[[], Any] = lambda: store.create(KEY, IMAGE)  # noqa: E731
        if isinstance(outcome, bool):
            assert await work() is outcome
        else:
            with pytest.raises(outcome):
                await work()
        assert proxy.heads[0].startswith(b"PUT http://store.example:9000/alpr-images/full/")


def test_a_proxy_may_be_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "store.example")
    assert not is_behind_a_proxy("store.example:9000", secure=True)
    assert is_behind_a_proxy("elsewhere.example", secure=True)
    assert not is_behind_a_proxy("elsewhere.example", secure=False)
