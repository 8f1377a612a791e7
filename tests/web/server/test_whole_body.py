"""Bodies that the socket reads into one buffer, against a real uvicorn with our protocol."""

import asyncio
import gc
import hashlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from platevault.domain.errors import BatchRefused
from platevault.web.dependencies import WHOLE_BODY
from platevault.web.server.connections import DeadlineProtocol
from platevault.web.server.whole_body import WholeBody, batch_size
from tests.web.server.test_connections import all_of, connect

SIZE = 3 * 1024 * 1024
BODY = bytes(range(256)) * (SIZE // 256)
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
SLOW_SECONDS = 1.0

seen: list[str] = []


async def app(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Answers a batch with the digest of its body; ?hurry leaves `SLOW_SECONDS` for it, ?refuse answers without it."""
    status, answer = 200, b"next"
    whole = scope["extensions"].get(WHOLE_BODY)
    if whole is not None and scope["query_string"] != b"refuse":
        arrived = 0

        def took(size: int) -> None:
            nonlocal arrived
            arrived += size

        try:
            async with asyncio.timeout(SLOW_SECONDS if scope["query_string"] == b"hurry" else 60):
                body = await whole.read(took)
            assert arrived == len(body) == whole.size
            assert (await receive())["more_body"] is False
            answer = hashlib.sha256(body).hexdigest().encode()
        except TimeoutError:
            status, answer = 503, b"too slow"
        except BatchRefused:
            seen.append("cut")
            return
    elif whole is not None:
        status, answer = 429, b"refused"
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(answer))]})
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
def port() -> Iterator[int]:
    seen.clear()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        free = int(probe.getsockname()[1])
    server = uvicorn.Server(uvicorn.Config(app, port=free, http=DeadlineProtocol, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield free
    server.should_exit = True
    thread.join()


def head(size: int = SIZE, *, target: str = "/v1/detections", more: str = "") -> bytes:
    return f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n{more}\r\n".encode()


DIGEST = hashlib.sha256(BODY).hexdigest().encode()


@pytest.mark.parametrize("cut", [0, 1, 1000, 70_000, SIZE - 1, SIZE])
def test_a_body_is_whole_wherever_it_was_cut_and_the_next_request_is_read(port: int, cut: int) -> None:
    with connect(port) as connection:
        connection.sendall(head() + BODY[:cut])
        time.sleep(0.1)
        connection.sendall(BODY[cut:] + NEXT)
        answers = all_of(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert DIGEST in answers
    assert answers.endswith(b"next")


def test_many_batches_go_over_one_connection_and_behind_one_another(port: int) -> None:
    with connect(port) as connection:
        small = BODY[:512]
        connection.sendall((head(512) + small) * 20 + head() + BODY + NEXT)
        answers = all_of(connection)
    assert answers.count(hashlib.sha256(small).hexdigest().encode()) == 20
    assert answers.count(DIGEST) == 1
    assert answers.endswith(b"next")


def test_who_asks_first_is_told_to_go_on(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(head(more="Expect: 100-continue\r\n"))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(BODY + NEXT)
        assert DIGEST in all_of(connection)


def test_a_body_that_is_too_slow_is_answered_and_its_rest_is_no_request(port: int) -> None:
    size = 600_000  # less is left of it than a connection throws away
    with connect(port) as connection:
        connection.sendall(head(size, target="/v1/detections?hurry") + BODY[:100_000])
        assert b" 503 " in connection.recv(1000)
        connection.sendall(BODY[100_000:size] + NEXT)
        assert all_of(connection).endswith(b"next")


def test_a_connection_that_ends_in_the_middle_of_a_body_is_told_to_the_reader_and_nothing_stays(port: int) -> None:
    for _ in range(5):
        with connect(port) as connection:
            connection.sendall(head() + BODY[:100_000])
            time.sleep(0.05)
    end = time.monotonic() + 10
    while seen.count("cut") < 5 and time.monotonic() < end:
        time.sleep(0.02)
    assert seen.count("cut") == 5
    gc.collect()
    assert not [one for one in gc.get_objects() if isinstance(one, WholeBody)]


def test_a_batch_that_was_answered_before_its_body_came_leaves_the_connection_usable(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(head(100_000, target="/v1/detections?refuse"))
        assert b" 429 " in connection.recv(1000)
        connection.sendall(BODY[:100_000] + head() + BODY + NEXT)
        answers = all_of(connection)
    assert DIGEST in answers
    assert answers.endswith(b"next")


@pytest.mark.parametrize(
    ("request_head", "size"),
    [
        ((b"POST", b"/v1/detections", [(b"content-length", b"7")]), 7),
        ((b"POST", b"/v1/detections?durability=stored", [(b"host", b"a"), (b"content-length", b"7")]), 7),
        ((b"GET", b"/v1/detections", [(b"content-length", b"7")]), None),
        ((b"POST", b"/v1/detections/", [(b"content-length", b"7")]), None),
        ((b"POST", b"/v1/detectionsx", [(b"content-length", b"7")]), None),
        ((b"POST", b"/v1/detections", [(b"content-length", b"0")]), None),
        ((b"POST", b"/v1/detections", [(b"content-length", b"-7")]), None),
        ((b"POST", b"/v1/detections", [(b"content-length", b"7" * 13)]), None),
        ((b"POST", b"/v1/detections", [(b"content-length", b"7" * 12)]), 777777777777),
        ((b"POST", b"/v1/detections", [(b"content-length", b"7"), (b"content-length", b"7")]), None),
        ((b"POST", b"/v1/detections", [(b"content-length", b"7"), (b"transfer-encoding", b"chunked")]), None),
        ((b"POST", b"/v1/detections", []), None),
    ],
)
def test_only_a_batch_of_a_declared_length_has_a_buffer(
    request_head: tuple[bytes, bytes, list[tuple[bytes, bytes]]], size: int | None
) -> None:
    assert batch_size(*request_head) == size
